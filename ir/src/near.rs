//! What was meant by names that nothing has.

/// Most names that are proposed.
const MAX_PROPOSED: usize = 3;
/// Longer names are not compared.
const MAX_COMPARED: usize = 256;

/// The names that are spelled nearly like one that nothing has, as the end of a sentence about it; empty if there is none. The
/// name itself is none: what has it may be of another kind, or of another world.
pub fn near<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let limit = (name.chars().count() / 3).clamp(1, 3);
    let mut close: Vec<(usize, &str)> = known
        .filter_map(|known| {
            let distance = distance(name, known)?;
            (1..=limit).contains(&distance).then_some((distance, known))
        })
        .collect();
    close.sort_unstable();
    close.dedup();
    let proposed: Vec<String> =
        close.iter().take(MAX_PROPOSED).map(|(_, known)| format!("'{known}'")).collect();
    if proposed.is_empty() { String::new() } else { format!("; there is {}", proposed.join(", ")) }
}

/// How many letters must be put in, taken out or changed to make one name of another; none of long ones.
pub fn distance(a: &str, b: &str) -> Option<usize> {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len().max(b.len()) > MAX_COMPARED {
        return None;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (n, &x) in a.iter().enumerate() {
        let mut diagonal = n;
        let mut left = n + 1;
        row[0] = left;
        for (place, &y) in row.iter_mut().skip(1).zip(&b) {
            let changed = diagonal + usize::from(x != y);
            diagonal = *place;
            left = changed.min(diagonal + 1).min(left + 1);
            *place = left;
        }
    }
    row.last().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_proposed_nearest_first() {
        assert_eq!(distance("kitten", "sitting"), Some(3));
        assert_eq!(distance("", "abc"), Some(3));
        assert_eq!(distance("abc", "abc"), Some(0));
        let known = ["saxpy", "axpy", "daxpy", "matmul", "saxp"];
        assert_eq!(near("saxpyy", known.into_iter()), "; there is 'saxpy', 'axpy', 'daxpy'");
        assert_eq!(near("quite_different", known.into_iter()), "");
        assert_eq!(near("matmul", known.into_iter()), "", "it is no mistake of spelling");
    }
}
