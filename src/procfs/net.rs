//! /proc/net: the sockets that there are, the same for every process.

use super::Device;
use super::node::{Content, FixedDirectory, Node, NodeIdentity, text};
use crate::net;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;

/// Makes a text.
type Show = fn() -> String;

/// The tables, one a family or protocol.
const TABLES: &[(&str, Show)] = &[("unix", net::unix::list)];

/// Makes the directory's content.
pub(super) fn directory(device: Device) -> Content {
    let file = |&(name, make): &(&'static str, Show)| {
        let identity = NodeIdentity::of_root(device, &format!("net/{name}"), 0o444);
        (name, Node::new(identity, Content::Text { read: text(make), write: None }))
    };
    Content::Directory(Box::new(FixedDirectory { entries: TABLES.iter().map(file).collect() }))
}
