//! What one agent of a block knows of the others: vector clocks.
//!
//! An agent is a warp, or one asynchronous operation. Two accesses are ordered where the later
//! agent's clock has reached the time of the earlier access; else they race.
//! Clocks: `seen` orders accesses; `visible` says what the copy engine and the tensor cores (the
//! async proxy) may see of ordinary writes: it follows `seen` at a fence. Accesses to tensor memory
//! of different threads are ordered where the first is in `before`, which follows `seen` at a fence
//! of its thread or when it is committed, and in `after` of the second's thread, which follows what
//! others told it in `before` at a fence of its own; what such operations know of shared memory is
//! what their thread had seen at that fence.

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
    before: Vec<u32>,
    after: Vec<u32>,
    /// What was seen at the last fence after which this agent uses tensor memory.
    settled: Vec<u32>,
}

fn at(list: &[u32], agent: Agent) -> u32 {
    list.get(agent).copied().unwrap_or(0)
}

fn set(list: &mut Vec<u32>, stamp: Stamp) {
    if list.len() <= stamp.agent {
        list.resize(stamp.agent + 1, 0);
    }
    list[stamp.agent] = stamp.time;
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
        raise(&mut self.before, &other.before);
    }

    /// What was seen may be told to others as far as tensor memory goes.
    pub(super) fn fence_before(&mut self) {
        let Self { seen, before, .. } = self;
        raise(before, seen);
    }

    /// What others told comes before this agent's accesses to tensor memory.
    pub(super) fn fence_after(&mut self) {
        let Self { seen, before, after, settled, .. } = self;
        raise(after, before);
        raise(settled, seen);
    }

    /// An operation on tensor memory knows itself and what its thread knew at its last fence.
    pub(super) fn settle(&mut self, own: Stamp) {
        self.seen.clone_from(&self.settled);
        set(&mut self.seen, own);
    }

    /// What another operation of the same thread did to tensor memory comes before this one's
    /// accesses, and what came before the other's does as well.
    pub(super) fn follow(&mut self, other: &Self) {
        raise(&mut self.after, &other.after);
        raise(&mut self.seen, &other.after);
    }

    /// All that was seen becomes visible to the async proxy.
    pub(super) fn fence(&mut self) {
        let Self { seen, visible, .. } = self;
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
        (own, stamp)
    }

    /// What an operation of the async proxy itself writes needs no fence.
    pub(super) fn fence_own(&mut self, stamp: Stamp) {
        set(&mut self.visible, stamp);
        set(&mut self.after, stamp);
    }

    /// Whether something happened before, as far as this agent knows.
    pub(super) fn has(&self, stamp: Stamp) -> bool {
        at(&self.seen, stamp.agent) >= stamp.time
    }

    /// Whether an access to tensor memory comes before those of this agent.
    pub(super) fn follows(&self, stamp: Stamp) -> bool {
        at(&self.after, stamp.agent) >= stamp.time
    }

    /// Whether the async proxy sees an ordinary write.
    pub(super) fn sees(&self, stamp: Stamp) -> bool {
        at(&self.visible, stamp.agent) >= stamp.time
    }
}
