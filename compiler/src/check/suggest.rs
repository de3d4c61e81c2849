//! "Did you mean": the names nearest to an unknown name. The invariant: at most three names,
//! nearest first, and none that has little in common with the unknown name. (Rejected: always
//! naming the nearest; `foo` is not `arp`.)

use super::Checker;

/// Up to three candidates near to `word`, nearest first.
pub(super) fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Vec<&'c str> {
    let lower = word.to_ascii_lowercase();
    let last = |name: &str| name.rsplit('.').next().unwrap_or("").to_ascii_lowercase();
    let mut found: Vec<(usize, &str)> = Vec::new();
    for candidate in candidates {
        let other = candidate.to_ascii_lowercase();
        let allowed = (word.len().max(candidate.len()) / 3).clamp(1, 3);
        if word.len().abs_diff(candidate.len()) <= allowed {
            let distance = strsim::osa_distance(&lower, &other);
            if distance <= allowed {
                found.push((distance, candidate));
                continue;
            }
        }
        // `tcp.dport` for `tcp.dstport`, `eth.vlan.id` for `vlan.id`: the same beginning or the
        // same end.
        if lower.contains('.') && other.contains('.') {
            let (end, other_end) = (last(&lower), last(&other));
            let same_start = lower.split('.').next() == other.split('.').next();
            if lower.strip_suffix(&other).is_some_and(|head| head.ends_with('.')) {
                found.push((1, candidate));
            } else if end == other_end {
                found.push((4, candidate));
            } else if same_start && strsim::jaro_winkler(&end, &other_end) > 0.8 {
                found.push((5, candidate));
            }
        }
    }
    found.sort_unstable();
    found.dedup();
    let best = found.first().map_or(0, |f| f.0);
    found.into_iter().filter(|f| f.0 <= best + 1).take(3).map(|f| f.1).collect()
}

/// `did you mean `a`, `b` or `c`?`
pub(super) fn did_you_mean(names: &[&str]) -> Option<String> {
    let (last, rest) = names.split_last()?;
    let rest: Vec<String> = rest.iter().map(|n| format!("`{n}`")).collect();
    Some(match rest.is_empty() {
        true => format!("did you mean `{last}`?"),
        false => format!("did you mean {} or `{last}`?", rest.join(", ")),
    })
}

impl Checker<'_> {
    /// Names near to an unknown name in an expression.
    pub fn near_values(&self, word: &str) -> Vec<String> {
        let inner = word.strip_prefix("inner.");
        let fields =
            crate::fields::FIELDS.iter().filter(|f| inner.is_none() || f.has_inner()).map(|f| f.name);
        let names = self.names.values.keys().copied().filter(|_| inner.is_none());
        nearest(inner.unwrap_or(word), fields.chain(names))
            .into_iter()
            .map(|name| if inner.is_some() { format!("inner.{name}") } else { name.to_owned() })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;
    use crate::fields::FIELDS;

    #[test]
    fn near_names_come_first_and_strangers_never() {
        let fields = || FIELDS.iter().map(|f| f.name);
        assert_eq!(nearest("tcp.dport", fields()), ["tcp.port", "tcp.dstport"]);
        assert_eq!(nearest("tcp.prot", fields()), ["tcp.port"]);
        assert_eq!(nearest("ip.source", fields())[0], "ip.src");
        assert_eq!(nearest("TCP.PORT", fields()), ["tcp.port"]);
        assert_eq!(nearest("eth.vlan.id", fields())[0], "vlan.id");
        assert!(nearest("foo", fields()).is_empty());
        assert!(nearest("", fields()).is_empty());
        assert_eq!(did_you_mean(&["a", "b"]).unwrap(), "did you mean `a` or `b`?");
    }
}
