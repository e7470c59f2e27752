//! Block programs that are wrong in one place: one barrier, fence, wait, count, phase, slot or
//! bound is removed or changed.
//!
//! In: a kernel's text as it is printed. Out: every such text with what was changed. Why here: what
//! orders a block program is written out, so a text can be weakened without knowing what it does.

/// A changed text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weakened {
    /// What was done.
    pub operator: &'static str,
    /// The line before, and what became of it.
    pub change: String,
    /// The whole text.
    pub text: String,
}

/// Calls that order others, or end or announce asynchronous work.
const ORDERING: [&str; 26] = [
    "mbarrier.wait",
    "mbarrier.expect",
    "mbarrier.arrive",
    "mbarrier.arrive.cluster",
    "fence.async",
    "wgmma.fence",
    "wgmma.commit",
    "wgmma.wait",
    "tcgen05.commit",
    "tcgen05.commit.cluster",
    "tcgen05.commit.pair",
    "tcgen05.fence.after",
    "tcgen05.fence.before",
    "tcgen05.wait.ld",
    "tcgen05.cp.32x128b.warpx4",
    "tcgen05.cp.pair.32x128b.warpx4",
    "clusterlaunchcontrol.try_cancel",
    "clusterlaunchcontrol.try_cancel.multicast",
    "clusterlaunchcontrol.query_cancel",
    "cp.async.commit",
    "cp.async.wait",
    "sync",
    "tma.commit",
    "tma.wait.read",
    "tma.load",
    "tma.load.pair",
];

/// Every text with one change.
#[must_use]
pub fn weakened(text: &str) -> Vec<Weakened> {
    let lines: Vec<&str> = text.lines().collect();
    let mut out = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        for (operator, changed) in changes(line) {
            let before = lines[..number].iter().copied();
            let all = before.chain([changed.as_str()]).chain(lines[number + 1..].iter().copied());
            let text = all.collect::<Vec<_>>().join("\n");
            let change = format!("{} -> {}", line.trim(), changed.trim());
            out.push(Weakened { operator, change, text });
        }
    }
    out
}

/// What becomes of one line.
fn changes(line: &str) -> Vec<(&'static str, String)> {
    let trimmed = line.trim_start();
    let mut out = Vec::new();
    if let Some(call) = trimmed.strip_prefix("do ") {
        let name = call.split('(').next().unwrap_or("");
        if ORDERING.contains(&name) {
            out.push(("remove a call", String::new()));
        }
        out.extend(remainders(line));
        match name {
            "mbarrier.expect" => {
                let bytes = |n: i64| [n / 2, n - 16, n + 16, 2 * n];
                out.extend(last_number(line, &bytes).map(|l| ("change the bytes awaited", l)));
            }
            "mbarrier.wait" => {
                let (head, parity) = line.rsplit_once(", mod(").unwrap_or((line, ""));
                if !parity.is_empty() {
                    out.extend(["0)", "1)"].map(|p| ("fix a phase", format!("{head}, {p}"))));
                }
                out.extend(last_number(line, &|n| [1 - n; 4]).map(|l| ("turn a phase", l)).take(1));
            }
            "wgmma.wait" | "cp.async.wait" | "tma.wait.read" => {
                out.extend(
                    last_number(line, &|n| [n + 1; 4]).map(|l| ("wait for fewer", l)).take(1),
                );
            }
            _ => {}
        }
        if line.contains("cluster[0 : 2]") {
            for blocks in ["cluster[0]", "cluster[1]"] {
                let changed = line.replace("cluster[0 : 2]", blocks);
                out.push(("reach fewer blocks", changed));
            }
        }
        for (of, instead) in [("cluster[0])", "cluster[1])"), ("tma.load.pair(", "tma.load(")] {
            if line.contains(of) {
                out.push(("tell another block", line.replace(of, instead)));
            }
        }
        out.extend(steps(line));
        if let Some((head, _)) = line.rsplit_once(", min(") {
            out.extend(["0)", "1)"].map(|keep| ("keep or drop sums", format!("{head}, {keep}"))));
        }
    } else if trimmed.starts_with("barrier ") {
        out.extend(
            last_number(line, &|n| [n + 1, n - 1, 2 * n, n + 2]).map(|l| ("change a count", l)),
        );
    } else if trimmed.starts_with("if ") && line.contains(" == 0 {") {
        out.push(("let another block do it", line.replace(" == 0 {", " == 1 {")));
    } else if trimmed.starts_with("if ") && line.contains(" >= ") {
        if let Some((head, _)) = line.split_once(" >= ") {
            out.extend((0..3).map(|n| ("change a guard", format!("{head} >= {n} {{"))));
        }
        out.retain(|(_, changed)| changed.trim() != trimmed);
    } else if trimmed.starts_with("for ") {
        out.extend(bounds(line));
    }
    out
}

/// Scales of another step of the sum, at each place, and of another block of rows.
fn steps(line: &str) -> Vec<(&'static str, String)> {
    let mut out = Vec::new();
    for (end, _) in line.match_indices(" : 4 step 4") {
        let start = line[..end].rfind(' ').map_or(0, |at| at + 1);
        let taken = if &line[start..end] == "0" { "1" } else { "0" };
        out.push(("take another step", format!("{}{taken}{}", &line[..start], &line[end..])));
    }
    if let Some(call) = line.trim_start().strip_prefix("do tcgen05.cp.")
        && call.contains("[0, 1, ")
    {
        out.push(("take another block of rows", line.replacen("[0, 1, ", "[0, 0, ", 1)));
        out.push(("take another block of rows", line.replacen(", 0, 1, ", ", 0, 0, ", 1)));
    }
    out
}

/// `mod(x, n)` as `mod(x + 1, n)`, at each place.
fn remainders(line: &str) -> Vec<(&'static str, String)> {
    let mut out = Vec::new();
    for (start, _) in line.match_indices("mod(") {
        let (mut depth, mut comma) = (0_usize, None);
        for (at, c) in line[start..].char_indices() {
            match c {
                '(' => depth += 1,
                ',' if depth == 1 => comma = Some(start + at),
                ')' if depth == 1 => break,
                ')' => depth -= 1,
                _ => {}
            }
        }
        if let Some(comma) = comma {
            let operator = if line[comma..].starts_with(", 2)") {
                "turn a phase"
            } else {
                "take another slot"
            };
            out.push((operator, format!("{} + 1{}", &line[..comma], &line[comma..])));
        }
    }
    out
}

/// The line with other numbers in the place of its last one.
fn last_number<'l>(
    line: &'l str,
    values: &dyn Fn(i64) -> [i64; 4],
) -> impl Iterator<Item = String> + use<'l> {
    let digits = |c: char| c.is_ascii_digit();
    let end = line.rfind(digits).map(|at| at + 1);
    let start = end.map(|end| line[..end].rfind(|c| !digits(c)).map_or(0, |at| at + 1));
    let number = start.zip(end).and_then(|(s, e)| Some((s, e, line[s..e].parse::<i64>().ok()?)));
    let all = number.map_or([0; 4], |(_, _, n)| values(n));
    all.into_iter().filter_map(move |value| {
        let (start, end, old) = number?;
        (value >= 0 && value != old).then(|| format!("{}{value}{}", &line[..start], &line[end..]))
    })
}

/// A loop of a role with one iteration more or less at its end.
fn bounds(line: &str) -> Vec<(&'static str, String)> {
    let Some((head, rest)) = line.split_once("..") else { return Vec::new() };
    if rest.contains(" warps ") || rest.contains("block.") || rest.contains(" cluster") {
        return Vec::new();
    }
    let ends = [" step ", " unroll", " label ", " {"].map(|word| rest.find(word));
    let Some(end) = ends.into_iter().flatten().min() else { return Vec::new() };
    let by = |change: &str| format!("{head}..{} {change} 1{}", &rest[..end], &rest[end..]);
    vec![("a turn more", by("+")), ("a turn less", by("-"))]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Vec<String> {
        changes(line).into_iter().map(|(_, changed)| changed.trim().to_owned()).collect()
    }

    #[test]
    fn each_operator_changes_what_it_says() {
        assert_eq!(of("do sync()"), [""]);
        assert_eq!(of("do wgmma.wait(1)"), ["", "do wgmma.wait(2)"]);
        assert_eq!(
            of("barrier full[3] count 1"),
            [
                "barrier full[3] count 2",
                "barrier full[3] count 0",
                "barrier full[3] count 2",
                "barrier full[3] count 3",
            ]
        );
        assert_eq!(
            of("do mbarrier.wait(full[mod(k, 3)], mod(floordiv(k, 3), 2))"),
            [
                "",
                "do mbarrier.wait(full[mod(k + 1, 3)], mod(floordiv(k, 3), 2))",
                "do mbarrier.wait(full[mod(k, 3)], mod(floordiv(k, 3) + 1, 2))",
                "do mbarrier.wait(full[mod(k, 3)], 0)",
                "do mbarrier.wait(full[mod(k, 3)], 1)",
            ]
        );
        assert_eq!(of("do mbarrier.wait(full[0], 1)"), ["", "do mbarrier.wait(full[0], 0)"]);
        assert_eq!(
            of("do mma(D[0 : 4], S[0, k : 4 step 4], T[0, 0 : 4 step 4], 1)"),
            [
                "do mma(D[0 : 4], S[0, 0 : 4 step 4], T[0, 0 : 4 step 4], 1)",
                "do mma(D[0 : 4], S[0, k : 4 step 4], T[0, 1 : 4 step 4], 1)",
            ]
        );
        assert_eq!(of("if block == 0 {"), ["if block == 1 {"]);
        assert_eq!(of("if k >= 1 {"), ["if k >= 0 {", "if k >= 2 {"]);
        assert_eq!(
            of("for k in 0..8 label k.0 {"),
            ["for k in 0..8 + 1 label k.0 {", "for k in 0..8 - 1 label k.0 {",]
        );
        assert!(of("for g in 0..2 warps 4 {").is_empty());
        assert!(of("S: C[i]:f32 = D[i, j]:f32 order serial").is_empty());
    }
}
