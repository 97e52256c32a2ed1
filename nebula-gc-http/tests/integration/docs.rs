//! Does every command of the README and of `docs/` do what the page says?
//!
//! The `sh` blocks of a page run in order, in one shell, in a fresh directory, against the server
//! that the page starts. What a page shows after a block as `text` or `json` is what the block has
//! to print; `…` stands for anything. An HTML comment before a block says what is special about it:
//!
//! - `<!-- docs: server -->`: it goes on running; the next block runs once it serves.
//! - `<!-- docs: agent -->`: it goes on running; the next block runs once the overlay does.
//! - `<!-- docs: laptop -->`, `<!-- docs: laptop agent -->`: on a second machine. Both are network
//!   namespaces then, with 192.0.2.1 and 192.0.2.2, which needs root.
//! - `<!-- docs: not run, REASON -->`
//!
//! Needs bash and the programs that a page uses, with a Nebula that knows certificates of version 2
//! (`support/peers.rs` of `nebula-bundle`).
#![cfg(target_os = "linux")]

mod page;
#[path = "../../../nebula-bundle/tests/integration/support/peers.rs"]
#[allow(dead_code, reason = "nebula-bundle uses the rest")]
mod peers;
mod run_page;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use page::Page;
use run_page::run;

/// Each page is a test of its own.
macro_rules! pages {
    ($($test:ident $path:literal;)*) => {
        const PAGES: &[&str] = &[$($path),*];

        $(#[test]
        fn $test() {
            follow($path);
        })*
    };
}

pages! {
    readme "README.md";
    guides "docs/README.md";
    api "docs/api.md";
    architecture "docs/architecture.md";
    benchmarks "docs/benchmarks.md";
    concepts "docs/concepts.md";
    dialect "docs/dialect.md";
    getting_started "docs/getting-started.md";
    lifetimes "docs/lifetimes.md";
    operating "docs/operating.md";
    server "docs/server.md";
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

fn follow(path: &str) {
    let text = fs::read_to_string(root().join(path)).unwrap();
    let page = Page::read(&text).unwrap_or_else(|reason| panic!("{path}: {reason}"));
    if let Some(missing) = run_page::missing(&page) {
        return peers::skip(&missing);
    }
    if let Err(reason) = run(&page) {
        panic!("{path}:{reason}");
    }
}

#[test]
fn every_page_is_a_test() {
    let there = fs::read_dir(root().join("docs")).unwrap();
    let there = there.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let pages = there.filter(|name| name.ends_with(".md")).map(|name| format!("docs/{name}"));
    let pages: BTreeSet<_> = pages.chain(["README.md".to_owned()]).collect();
    assert_eq!(pages, PAGES.iter().map(|path| (*path).to_owned()).collect());
}

/// What is not run needs a reason, and is the exception.
#[test]
fn few_blocks_are_not_run() {
    let (mut all, mut left) = (0, vec![]);
    for path in PAGES {
        let page = Page::read(&fs::read_to_string(root().join(path)).unwrap()).unwrap();
        all += page.blocks.len();
        let not_run = page.blocks.iter().filter_map(|block| block.not_run.as_deref());
        left.extend(not_run.map(|reason| format!("{path}: {reason}")));
    }
    assert!(left.len() * 4 < all, "{} of {all}: {left:#?}", left.len());
}

#[test]
fn links_between_pages_lead_somewhere() {
    for path in PAGES {
        let text = fs::read_to_string(root().join(path)).unwrap();
        let from = root().join(path);
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let (file, part) = link.split_once('#').unwrap_or((link, ""));
            if file.contains("://") {
                continue;
            }
            let to = if file.is_empty() { from.clone() } else { from.with_file_name(file) };
            assert!(to.exists(), "{path}: {link}");
            if !part.is_empty() {
                let headings = page::headings(&fs::read_to_string(&to).unwrap());
                assert!(headings.contains(part), "{path}: {link} is none of {headings:?}");
            }
        }
    }
}

/// The checks themselves fail where they should.
mod what_is_wrong {
    use super::*;

    #[track_caller]
    fn refused(text: &str) -> String {
        let page = Page::read(text).unwrap();
        run(&page).expect_err("it passes")
    }

    #[test]
    fn a_command_that_fails_in_the_midst_of_a_block() {
        let reason = refused("# A\n\n```sh\ntrue\n```\n\n```sh\necho before\nfalse\ntrue\n```\n");
        assert!(reason.starts_with("7: ") && reason.contains("before"), "{reason}");
    }

    #[test]
    fn a_command_that_fails_in_a_pipe() {
        refused("```sh\nfalse | cat\n```\n");
    }

    #[test]
    fn a_variable_that_no_block_has_set() {
        refused("```sh\necho $NOBODY_SET_THIS\n```\n");
    }

    #[test]
    fn an_answer_that_is_another() {
        let reason = refused("```sh\necho one; echo two\n```\n\n```text\none\nthree\n```\n");
        assert!(reason.starts_with("1: ") && reason.contains("three"), "{reason}");
    }

    #[test]
    fn an_answer_with_more_than_is_shown() {
        refused("```sh\necho one; echo two\n```\n\n```text\none\n```\n");
        run(&Page::read("```sh\necho one; echo two\n```\n\n```text\none\n…\n```\n").unwrap())
            .unwrap();
    }

    #[test]
    fn a_server_that_ends() {
        refused("<!-- docs: server -->\n```sh\necho Starting\n```\n\n```sh\ntrue\n```\n");
    }

    #[test]
    fn a_comment_that_says_nothing_known() {
        for comment in ["docs: skip", "docs: not run", "docs: not run, "] {
            Page::read(&format!("<!-- {comment} -->\n```sh\ntrue\n```\n")).unwrap_err();
        }
    }

    #[test]
    fn an_answer_to_nothing() {
        Page::read("```text\none\n```\n").unwrap_err();
        let after_none =
            "<!-- docs: not run, it can't -->\n```sh\ntrue\n```\n\n```text\none\n```\n";
        Page::read(after_none).unwrap_err();
    }
}
