//! What one agent of a block knows of the others: vector clocks.
//!
//! An agent is a warp, or one asynchronous operation. Two accesses are ordered where the later
//! agent's clock has reached the time of the earlier access; else they race.
//! Two clocks: `seen` orders accesses, `visible` says what the copy engine and the tensor cores
//! (the async proxy) may see of ordinary writes: it follows `seen` at a fence.

/// An agent's number.
pub(super) type Agent = usize;

/// When an agent did something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) agent: Agent,
    pub(super) time: u32,
}

/// What an agent knows.
#[derive(Clone, Debug, Default)]
pub(super) struct Clock {
    seen: Vec<u32>,
    visible: Vec<u32>,
}

fn at(list: &[u32], agent: Agent) -> u32 {
    list.get(agent).copied().unwrap_or(0)
}

fn raise(list: &mut Vec<u32>, other: &[u32]) {
    if list.len() < other.len() {
        list.resize(other.len(), 0);
    }
    for (mine, theirs) in list.iter_mut().zip(other) {
        *mine = (*mine).max(*theirs);
    }
}

impl Clock {
    /// Learns what `other` knows.
    pub(super) fn merge(&mut self, other: &Self) {
        raise(&mut self.seen, &other.seen);
        raise(&mut self.visible, &other.visible);
    }

    /// All that was seen becomes visible to the async proxy.
    pub(super) fn fence(&mut self) {
        let Self { seen, visible } = self;
        raise(visible, seen);
    }

    /// The agent's time.
    pub(super) fn now(&self, agent: Agent) -> Stamp {
        Stamp { agent, time: at(&self.seen, agent) }
    }

    /// A new time for an agent: what it does from now on, nobody knows yet.
    pub(super) fn tick(&mut self, agent: Agent) {
        if self.seen.len() <= agent {
            self.seen.resize(agent + 1, 0);
        }
        self.seen[agent] += 1;
    }

    /// An asynchronous operation begins: it knows what its issuer knows.
    pub(super) fn fork(&mut self, issuer: Agent, agent: Agent) -> (Self, Stamp) {
        let mut own = self.clone();
        self.tick(issuer);
        own.tick(agent);
        let stamp = own.now(agent);
        own.fence_own(stamp);
        (own, stamp)
    }

    /// What the operation itself writes needs no fence.
    fn fence_own(&mut self, stamp: Stamp) {
        if self.visible.len() <= stamp.agent {
            self.visible.resize(stamp.agent + 1, 0);
        }
        self.visible[stamp.agent] = stamp.time;
    }

    /// Whether something happened before, as far as this agent knows.
    pub(super) fn has(&self, stamp: Stamp) -> bool {
        at(&self.seen, stamp.agent) >= stamp.time
    }

    /// Whether the async proxy sees an ordinary write.
    pub(super) fn sees(&self, stamp: Stamp) -> bool {
        at(&self.visible, stamp.agent) >= stamp.time
    }
}
