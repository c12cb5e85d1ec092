//! Finds the known key that a mistyped one most likely meant.

/// The key of `known` that is nearest to `unknown`. `None` only when there are no known keys.
///
/// The whole dotted path is compared, and, as one step further off, the last part alone: a key in
/// the wrong section is found too.
pub fn nearest<'a>(unknown: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known.min_by_key(|candidate| {
        let whole = distance(unknown, candidate);
        let last = 1 + distance(last_part(unknown), last_part(candidate));
        (whole.min(last), whole)
    })
}

fn last_part(key: &str) -> &str {
    key.rsplit('.').next().unwrap_or(key)
}

/// Levenshtein distance in bytes; keys are ASCII. Only the first 128 bytes count, so that a hostile
/// key costs no more than a long one.
fn distance(a: &str, b: &str) -> usize {
    let b = &b.as_bytes()[..b.len().min(128)];
    // row[j] is the distance between the part of `a` read so far and the first j bytes of `b`.
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().take(128).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_is_levenshtein() {
        let check = |a, b, expected| {
            assert_eq!(distance(a, b), expected, "{a} {b}");
            assert_eq!(distance(b, a), expected, "{b} {a}");
        };
        check("", "", 0);
        check("", "abc", 3);
        check("kitten", "sitting", 3);
        check("queues", "queue", 1);
        check("flaw", "lawn", 2);
    }

    #[test]
    fn long_keys_are_cut() {
        let long = "x".repeat(1 << 20);
        assert_eq!(distance(&long, "x"), 127);
        assert_eq!(distance("x", &long), 127);
    }

    #[test]
    fn wrong_letter_and_wrong_section_are_found() {
        let known = ["queues.ingress", "queues.commit", "limits.request_deadline", "chaos.enabled"];
        let check = |unknown, expected| {
            assert_eq!(nearest(unknown, known.into_iter()), Some(expected), "{unknown}");
        };
        check("queues.ingres", "queues.ingress");
        check("queue.commit", "queues.commit");
        check("ingress", "queues.ingress");
        check("http.request_deadline", "limits.request_deadline");
    }
}
