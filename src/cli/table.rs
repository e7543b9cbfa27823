//! Tables and the texts in their cells.
//!
//! On a terminal a table is fitted to its width. Elsewhere a row is a line and a cell without
//! spaces is a word, so that grep and awk work on it; an empty cell is a dash for the same reason.

use std::io::IsTerminal;

use comfy_table::{ColumnConstraint, ContentArrangement, Table, Width, presets};

use crate::cli::output::printable;

/// How a table is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// At most this many columns wide; long cells are wrapped.
    Terminal(u16),
    /// One row a line, as wide as it gets.
    Lines,
}

impl Layout {
    /// The layout for standard output; `COLUMNS` overrules a terminal's own width.
    pub(super) fn of_stdout() -> Self {
        if !std::io::stdout().is_terminal() {
            return Self::Lines;
        }
        let columns = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
        let width = columns.filter(|width| *width > 0).or_else(|| Table::new().width());
        Self::Terminal(width.unwrap_or(80))
    }

    /// Several items in one cell, or a dash for none.
    pub(super) fn list(self, items: impl IntoIterator<Item = impl AsRef<str>>) -> String {
        let items: Vec<String> = items.into_iter().map(|item| printable(item.as_ref())).collect();
        if items.is_empty() {
            return "-".to_owned();
        }
        match self {
            Self::Terminal(_) => items.join(", "),
            Self::Lines => items.join(","),
        }
    }

    /// A table under a line of column names. Every line ends in a newline.
    pub(super) fn table<const N: usize>(
        self,
        header: [&str; N],
        rows: impl IntoIterator<Item = [String; N]>,
    ) -> String {
        let mut table = Table::new();
        table.set_header(header);
        self.rendered(table, header.map(word_width), rows)
    }

    /// Rows without column names, aligned. Every line ends in a newline.
    pub(super) fn rows<const N: usize>(
        self,
        rows: impl IntoIterator<Item = [String; N]>,
    ) -> String {
        self.rendered(Table::new(), [0; N], rows)
    }

    /// `words` are the widths of the columns' longest words so far.
    fn rendered<const N: usize>(
        self,
        mut table: Table,
        mut words: [u16; N],
        rows: impl IntoIterator<Item = [String; N]>,
    ) -> String {
        table.load_style(presets::NOTHING);
        for row in rows {
            let row = row.map(|cell| printable(&cell));
            for (word, cell) in words.iter_mut().zip(&row) {
                *word = (*word).max(word_width(cell));
            }
            table.add_row(row);
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, GAP));
        }
        let natural: u16 = table.column_max_content_widths().into_iter().map(|w| w + GAP).sum();
        match self {
            // The last column's gap is at the end of a line, and cut.
            Self::Terminal(width) if natural > width.saturating_add(GAP) => {
                table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
                let minima = words.map(|word| word + GAP);
                // Where there is no room for whole words they are broken, too.
                if minima.iter().sum::<u16>() <= width {
                    let whole = |width| ColumnConstraint::LowerBoundary(Width::Fixed(width));
                    table.set_constraints(minima.map(whole));
                }
            }
            Self::Terminal(_) | Self::Lines => {
                table.set_content_arrangement(ContentArrangement::Disabled);
            }
        }
        let mut text = String::new();
        for line in table.lines() {
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// How wide a column must be so that no word of `cell` is broken; very long ones are.
fn word_width(cell: &str) -> u16 {
    let longest = cell.split(' ').map(|word| word.chars().count()).max().unwrap_or(0);
    u16::try_from(longest).unwrap_or(u16::MAX).min(LONG_WORD)
}

/// A time to come in its two largest units: "1h59m", "1m30s", "29s", "250ms"; rounded down.
pub(super) fn span(millis: u64) -> String {
    let seconds = millis / 1_000;
    let (hours, minutes) = (seconds / 3_600, seconds / 60);
    match (hours, minutes, seconds) {
        (0, 0, 0) => format!("{millis}ms"),
        (0, 0, _) => format!("{seconds}s"),
        (0, _, _) => format!("{minutes}m{}s", seconds % 60),
        (_, _, _) => format!("{hours}h{}m", minutes % 60),
    }
}

/// Blank columns after each cell.
const GAP: u16 = 2;

/// A word of more characters may be broken.
const LONG_WORD: u16 = 15;

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<[String; 3]> {
        vec![
            ["web-1".into(), Layout::Lines.list(["10.0.0.1", "::1"]), "no: lease expired".into()],
            ["web-2".into(), Layout::Lines.list([""; 0]), "yes".into()],
        ]
    }

    #[test]
    fn a_row_is_a_line_when_nobody_watches() {
        let table = Layout::Lines.table(["ID", "ADDRESSES", "USABLE"], rows());

        assert_eq!(
            table,
            "ID     ADDRESSES     USABLE\n\
             web-1  10.0.0.1,::1  no: lease expired\n\
             web-2  -             yes\n"
        );
    }

    #[test]
    fn a_terminal_gets_no_line_that_is_too_long() {
        let table = Layout::Terminal(24).table(["ID", "ADDRESSES", "USABLE"], rows());

        assert!(table.lines().all(|line| line.chars().count() <= 24), "{table}");
        assert!(table.lines().count() > 3, "{table}");
    }

    #[test]
    fn words_stay_whole_while_there_is_room() {
        let row = ["web-1".to_owned(), "10.0.0.1, 10.0.0.2".to_owned(), "passing".to_owned()];

        let table = Layout::Terminal(32).table(["ID", "ADDRESSES", "STATUS"], [row]);

        assert_eq!(
            table,
            "ID     ADDRESSES  STATUS\n\
             web-1  10.0.0.1,  passing\n       \
             10.0.0.2\n"
        );
    }

    #[test]
    fn what_fits_is_not_broken() {
        let row = ["a_word_of_very_many_letters".to_owned(), "1".to_owned(), "x".to_owned()];

        let table = Layout::Terminal(33).rows([row]);

        assert_eq!(table, "a_word_of_very_many_letters  1  x\n");
    }

    #[test]
    fn nothing_to_show_leaves_the_column_names() {
        assert_eq!(Layout::Lines.table(["A", "B"], []), "A  B\n");
        assert_eq!(Layout::Lines.rows::<2>([]), "");
    }

    #[test]
    fn a_cell_cannot_break_its_line() {
        let table = Layout::Lines.rows([["a\nb\u{1b}[31m".to_owned(), "c".to_owned()]]);

        assert_eq!(table, "a\\nb\\u{1b}[31m  c\n");
    }

    #[test]
    fn a_span_has_its_two_largest_units() {
        for (millis, text) in [
            (0, "0ms"),
            (999, "999ms"),
            (29_999, "29s"),
            (60_000, "1m0s"),
            (3_599_999, "59m59s"),
            (86_399_999, "23h59m"),
            (86_400_000, "24h0m"),
        ] {
            assert_eq!(span(millis), text);
        }
    }
}
