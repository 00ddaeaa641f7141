//! The kernel's command line as words: `name`, `name=value`, `name="value with spaces"`; `--` ends the kernel's.

/// Returns the kernel's words as name and value, in order.
pub(crate) fn words(line: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    split(line).take_while(|word| *word != "--").map(|word| match word.split_once('=') {
        Some((name, value)) => (name, Some(unquote(value))),
        None => (unquote(word), None),
    })
}

/// Returns the value of the last `name=value`, as Linux lets the last one win.
pub(crate) fn value<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    words(line).filter(|(word, _)| *word == name).last()?.1
}

/// Returns the words behind `--`, which are for init.
pub(crate) fn init_arguments(line: &str) -> impl Iterator<Item = &str> {
    split(line).skip_while(|word| *word != "--").skip(1).map(unquote)
}

/// Splits at spaces outside double quotes.
fn split(line: &str) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    line.split(move |character: char| {
        is_quoted ^= character == '"';
        !is_quoted && character.is_ascii_whitespace()
    })
    .filter(|word| !word.is_empty())
}

fn unquote(value: &str) -> &str {
    value.strip_prefix('"').map_or(value, |inner| inner.strip_suffix('"').unwrap_or(inner))
}

/// Parses a size as Linux' `memparse` does: decimal or `0x…`, then perhaps K, M, G or T.
pub(crate) fn parse_size(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|letter: char| "kKmMgGtT".contains(letter));
    let shift = match &text[digits.len()..] {
        "" => 0,
        "k" | "K" => 10,
        "m" | "M" => 20,
        "g" | "G" => 30,
        "t" | "T" => 40,
        _ => return None,
    };
    let number = match digits.strip_prefix("0x") {
        Some(hexadecimal) => u64::from_str_radix(hexadecimal, 16).ok()?,
        None => digits.parse().ok()?,
    };
    number.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::{init_arguments, parse_size, value, words};

    #[test]
    fn words_end_at_the_double_dash() {
        let line = "quiet  panic=-1 title=\"two words\" -- sh -c \"a b\"";
        let found: Vec<_> = words(line).collect();
        assert_eq!(found, [("quiet", None), ("panic", Some("-1")), ("title", Some("two words"))]);
        assert_eq!(init_arguments(line).collect::<Vec<_>>(), ["sh", "-c", "a b"]);
        assert_eq!(init_arguments("quiet").count(), 0);
    }

    #[test]
    fn the_last_value_wins() {
        assert_eq!(value("loglevel=3 loglevel=7", "loglevel"), Some("7"));
        assert_eq!(value("loglevel", "loglevel"), None);
    }

    #[test]
    fn sizes_have_suffixes() {
        assert_eq!(parse_size("64M"), Some(64 << 20));
        assert_eq!(parse_size("0x1000"), Some(4096));
        assert_eq!(parse_size("1g"), Some(1 << 30));
        assert_eq!(parse_size("M"), None);
        assert_eq!(parse_size("12MM"), None);
    }
}
