//! Writes a bundle as one file.

use std::fmt::Write as _;

use crate::archive::{CA, CERTIFICATE, CONFIG, File};

/// Stands where the node's key belongs, in a line of its own.
pub const KEY_PLACE: &str = "NODE_KEY_HERE";

/// What to do with the file, at its top.
const NOTE: &str = "\
# The configuration of one Nebula node, complete but for its private key, which never left the device.
# Replace the line NODE_KEY_HERE with those of node.key, each indented by four spaces, or this line and the
# one above it with:  key: /path/of/node.key
# Where the system has no IPv6, set listen.host to 0.0.0.0.
";

/// The PEM texts take the place of the paths that are rendered.
pub(crate) fn write(files: &[File]) -> String {
    let text = |name| {
        let found = files.iter().find(|file| file.name == name);
        found.map_or("", |file| file.contents.as_str())
    };
    let mut config = text(CONFIG).to_owned();
    for (key, path, contents) in [
        ("ca", CA, text(CA)),
        ("cert", CERTIFICATE, text(CERTIFICATE)),
        ("key", "node.key", KEY_PLACE),
    ] {
        config = config.replacen(&format!("  {key}: '{path}'\n"), &block(key, contents), 1);
    }
    format!("{NOTE}{config}")
}

/// A text as a literal block below a key of a section.
fn block(key: &str, contents: &str) -> String {
    let mut written = format!("  {key}: |\n");
    for line in contents.lines() {
        // Writing to a String does not fail.
        let _ = writeln!(written, "    {line}");
    }
    written
}
