//! Rows of cells as lines whose columns are aligned, no wider than the terminal.

use std::error::Error;

use clap::{Arg, ArgAction, ArgMatches};

use crate::terminal::{columns, padded};

/// The flag for all that a list has.
pub(super) const WIDE: &str = "wide";
/// Between two columns.
const GAP: &str = "  ";
/// To how many columns of the terminal a cell is cut at most.
const LEAST: usize = 8;

/// How a list is shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    /// In seconds since the Unix epoch.
    pub(super) now: i64,
    /// How wide the terminal is; without a width nothing is cut.
    pub(super) width: Option<usize>,
    /// Whether ids and exact times are asked for, and nothing is cut.
    pub(super) is_wide: bool,
}

impl Look {
    /// As the arguments and the terminal say.
    pub(super) fn of(matches: &ArgMatches) -> Result<Self, Box<dyn Error>> {
        let is_wide = matches.try_get_one::<bool>(WIDE).ok().flatten().is_some_and(|is| *is);
        let width = width().filter(|_| !is_wide);
        Ok(Self { now: crate::clock::now()?, width, is_wide })
    }
}

/// The flag of commands that list something.
pub(super) fn flag() -> Arg {
    let help = "Show ids and exact times as well, and cut nothing, however wide the terminal is";
    Arg::new(WIDE).long(WIDE).action(ArgAction::SetTrue).help(help)
}

/// How many columns the standard output has: as `COLUMNS` says, else as the terminal says; nothing where it
/// is no terminal.
fn width() -> Option<usize> {
    let said = std::env::var("COLUMNS").ok().and_then(|said| said.parse().ok());
    let of_terminal = || rustix::termios::tcgetwinsize(std::io::stdout()).ok();
    said.or_else(|| of_terminal().map(|size| usize::from(size.ws_col))).filter(|width| *width > 0)
}

/// A line for each row. Where the lines are wider than the terminal, cells of the columns that can be cut
/// are, the widest first.
pub(super) fn fitted(
    mut rows: Vec<Vec<String>>,
    width: Option<usize>,
    can_be_cut: impl Fn(usize) -> bool,
) -> String {
    let mut widths = widths(&rows);
    let gaps = GAP.len() * widths.len().saturating_sub(1);
    let room = width.unwrap_or(usize::MAX).saturating_sub(gaps);
    while widths.iter().sum::<usize>() > room {
        let too_wide = widths.iter_mut().enumerate();
        let too_wide = too_wide.filter(|(column, width)| can_be_cut(*column) && **width > LEAST);
        let Some((_, widest)) = too_wide.max_by_key(|(_, width)| **width) else { break };
        *widest -= 1;
    }
    for (cell, width) in rows.iter_mut().flat_map(|row| row.iter_mut().zip(&widths)) {
        *cell = cut(cell, *width);
    }
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| padded(cell, *width));
        cells.collect::<Vec<_>>().join(GAP).trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

/// How wide each column is: as its widest cell.
fn widths(rows: &[Vec<String>]) -> Vec<usize> {
    let count = rows.first().map_or(0, Vec::len);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| columns(cell)).max().unwrap_or_default()
    };
    (0..count).map(width).collect()
}

/// A text of at most so many columns.
fn cut(text: &str, room: usize) -> String {
    if columns(text) <= room {
        return text.to_owned();
    }
    let mut short = String::new();
    for c in text.chars() {
        if columns(&short) + columns(c.encode_utf8(&mut [0; 4])) >= room {
            break;
        }
        short.push(c);
    }
    short + "…"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(rows: &[&[&str]]) -> Vec<Vec<String>> {
        rows.iter().map(|row| row.iter().map(|&cell| cell.to_owned()).collect()).collect()
    }

    #[test]
    fn wide_characters_take_two_columns_and_marks_none() {
        let table =
            rows(&[&["NAME", "STATE"], &["打印机", "active"], &["e\u{301}t", "x"], &["🖨", "y"]]);
        let expected = "NAME    STATE\n打印机  active\ne\u{301}t      x\n🖨       y\n";
        let shown = fitted(table, Some(80), |_| true);
        let last = shown.lines().last().map(columns);
        assert_eq!(last, Some(9), "{shown}");
        assert_eq!(
            shown.lines().take(3).collect::<Vec<_>>(),
            expected.lines().take(3).collect::<Vec<_>>()
        );
        assert_eq!(cut("打印机打印机", 8), "打印机…");
        assert_eq!(cut("打印机", 6), "打印机");
    }

    #[test]
    fn the_widest_columns_are_cut_until_the_lines_fit() {
        let table = rows(&[&["a".repeat(40).as_str(), &"b".repeat(20), &"c".repeat(20)]]);
        let shown = fitted(table.clone(), Some(60), |column| column < 2);
        assert_eq!(
            shown.trim_end(),
            format!("{}…  {}…  {}", "a".repeat(17), "b".repeat(17), "c".repeat(20))
        );
        // No cell is cut to nothing.
        let shown = fitted(table, Some(10), |column| column < 1);
        assert!(shown.starts_with("aaaaaaa…  bbbb"), "{shown}");
    }
}
