//! What a person does with the ZIP: unpack it beside `node.key`.

use std::io::{Cursor, Read};
use std::path::Path;

/// Unpacks a bundle into a directory, over what is there.
pub fn unpack(zip: &[u8], into: &Path) {
    let mut archive = zip::ZipArchive::new(Cursor::new(zip)).expect("a ZIP");
    let mut names = vec![];
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).expect("an entry");
        let name = entry.name().expect("UTF-8").into_owned();
        let mut contents = vec![];
        entry.read_to_end(&mut contents).expect("it is whole");
        std::fs::write(into.join(&name), contents).expect("it can be written");
        names.push(name);
    }
    let known = ["ca.crt", "node.crt", "nebula.yml", "README.md", "receipt"];
    // The receipt is for native nodes.
    assert!(names == known || names == known[..4], "{names:?}");
}
