//! The first line of a script: `#!`, an interpreter, at most one argument (execve(2), "Interpreter scripts").
//!
//! The rules of Linux 6.1: only the first 256 bytes of the file count, the last of which is taken as NUL; spaces and
//! tabs around name and argument are dropped; the argument is everything after the name up to the end of the line.

/// How much of a file is looked at.
pub(crate) const LINE_LIMIT: usize = 256;

/// The interpreter's name and its argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ScriptLine<'a> {
    pub(crate) interpreter: &'a [u8],
    pub(crate) argument: Option<&'a [u8]>,
}

/// Reads the line from a file's first `LINE_LIMIT` bytes, zeros where the file is shorter; `None` if it names no
/// interpreter. The caller has seen the `#!`.
pub(crate) fn parse(bytes: &[u8; LINE_LIMIT]) -> Option<ScriptLine<'_>> {
    let line = match bytes.iter().position(|&byte| byte == b'\n') {
        Some(end) => &bytes[2..end.max(2)],
        None => {
            let line = &bytes[2..LINE_LIMIT - 1];
            // Without an end of the name the interpreter's path may be cut off.
            let name = skip_blanks(line);
            if !name.iter().any(|&byte| is_blank(byte) || byte == 0) {
                return None;
            }
            line
        }
    };

    let line = skip_blanks(trim_end(line));
    let end = line.iter().position(|&byte| is_blank(byte) || byte == 0).unwrap_or(line.len());
    let (interpreter, rest) = line.split_at(end);
    if interpreter.is_empty() {
        return None;
    }
    let argument = if rest.first().is_some_and(|&byte| is_blank(byte)) { until_nul(skip_blanks(rest)) } else { &[] };
    Some(ScriptLine { interpreter, argument: (!argument.is_empty()).then_some(argument) })
}

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

fn skip_blanks(bytes: &[u8]) -> &[u8] {
    let start = bytes.iter().position(|&byte| !is_blank(byte)).unwrap_or(bytes.len());
    &bytes[start..]
}

fn trim_end(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|&byte| !is_blank(byte)).map_or(0, |last| last + 1);
    &bytes[..end]
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    &bytes[..end]
}

#[cfg(test)]
mod tests {
    use super::{LINE_LIMIT, parse};

    fn parsed(text: &[u8]) -> Option<(alloc::string::String, Option<alloc::string::String>)> {
        let mut bytes = [0; LINE_LIMIT];
        let length = text.len().min(LINE_LIMIT);
        bytes[..length].copy_from_slice(&text[..length]);
        let text = |bytes: &[u8]| alloc::string::String::from_utf8_lossy(bytes).into_owned();
        parse(&bytes).map(|line| (text(line.interpreter), line.argument.map(text)))
    }

    #[test]
    fn names_and_arguments() {
        assert_eq!(parsed(b"#!/bin/sh\necho"), Some(("/bin/sh".into(), None)));
        assert_eq!(parsed(b"#! \t/bin/sh  \n"), Some(("/bin/sh".into(), None)));
        assert_eq!(parsed(b"#!/usr/bin/awk -f \t\n"), Some(("/usr/bin/awk".into(), Some("-f".into()))));
        assert_eq!(parsed(b"#!/bin/x  a b\tc \n"), Some(("/bin/x".into(), Some("a b\tc".into()))));
        assert_eq!(parsed(b"#!/bin/sh"), Some(("/bin/sh".into(), None)));
        assert_eq!(parsed(b"#!sh -e"), Some(("sh".into(), Some("-e".into()))));
    }

    #[test]
    fn no_interpreter() {
        assert_eq!(parsed(b"#!\n"), None);
        assert_eq!(parsed(b"#!  \t \n/bin/sh\n"), None);
        assert_eq!(parsed(b"#!"), None);
        assert_eq!(parsed(b"\n#!/bin/sh"), None);
    }

    #[test]
    fn a_name_that_is_cut_off_is_refused_and_a_long_argument_is_cut() {
        let mut text = [b'a'; 300];
        text[..2].copy_from_slice(b"#!");
        assert_eq!(parsed(&text), None);
        text[5] = b' ';
        let (name, argument) = parsed(&text).expect("the name ends");
        assert_eq!((name.as_str(), argument.map(|text| text.len())), ("aaa", Some(LINE_LIMIT - 1 - 6)));
    }
}
