//! What the bench prints: tables as text or as JSON, with targets and visible skips.

use super::measure::geomean;

/// A place in a table.
#[derive(Clone, Debug)]
pub(super) enum Cell {
    /// A name.
    Text(String),
    /// A number, shown with three significant digits.
    Number(f64),
    /// Nothing was measured.
    Nothing,
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Cell::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Cell::Text(text)
    }
}

impl From<f64> for Cell {
    fn from(number: f64) -> Self {
        Cell::Number(number)
    }
}

impl From<usize> for Cell {
    fn from(number: usize) -> Self {
        Cell::Number(number as f64)
    }
}

impl From<Option<f64>> for Cell {
    fn from(number: Option<f64>) -> Self {
        number.map_or(Cell::Nothing, Cell::Number)
    }
}

impl Cell {
    fn show(&self) -> String {
        match self {
            Cell::Text(text) => text.clone(),
            Cell::Number(n) if *n == 0.0 || n.abs() >= 100.0 => format!("{n:.0}"),
            Cell::Number(n) if n.abs() >= 10.0 => format!("{n:.1}"),
            Cell::Number(n) if n.abs() >= 0.1 => format!("{n:.2}"),
            Cell::Number(n) => format!("{n:.4}"),
            Cell::Nothing => "-".to_owned(),
        }
    }

    fn json(&self) -> serde_json::Value {
        match self {
            Cell::Text(text) => text.as_str().into(),
            Cell::Number(n) => (*n).into(),
            Cell::Nothing => serde_json::Value::Null,
        }
    }
}

/// A table, the first column of which is names.
pub(super) struct Table {
    title: String,
    columns: Vec<String>,
    rows: Vec<Vec<Cell>>,
    notes: Vec<String>,
}

impl Table {
    pub(super) fn new(title: impl Into<String>, columns: &[&str]) -> Table {
        let columns = columns.iter().map(|column| (*column).to_owned()).collect();
        Table { title: title.into(), columns, rows: Vec::new(), notes: Vec::new() }
    }

    pub(super) fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// A line under the table.
    pub(super) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// Says that something was not measured, and why.
    pub(super) fn skip(&mut self, what: &str, why: &str) {
        self.notes.push(format!("SKIPPED {what}: {why}"));
    }

    /// The geometric mean of a column.
    pub(super) fn geomean(&self, column: usize) -> Option<f64> {
        geomean(self.rows.iter().filter_map(|row| match row.get(column) {
            Some(Cell::Number(n)) => Some(*n),
            _ => None,
        }))
    }

    /// Adds a row of geometric means of all columns of numbers.
    pub(super) fn means(&mut self) {
        let means = (1..self.columns.len()).map(|column| self.geomean(column).into());
        let row = std::iter::once(Cell::from("geomean")).chain(means).collect();
        self.rows.push(row);
    }

    /// Says what was aimed at, and whether it was reached.
    pub(super) fn target(&mut self, what: &str, found: Option<f64>, most: f64, unit: &str) {
        let found = found.map(Cell::Number);
        let line = match &found {
            Some(Cell::Number(n)) => {
                let verdict = if *n <= most { "reached" } else { "MISSED" };
                format!(
                    "target {what}: at most {most}{unit}, found {}{unit}: {verdict}",
                    Cell::Number(*n).show()
                )
            }
            _ => format!("target {what}: at most {most}{unit}, SKIPPED"),
        };
        self.notes.push(line);
    }

    fn text(&self) -> String {
        let shown: Vec<Vec<String>> =
            self.rows.iter().map(|row| row.iter().map(Cell::show).collect()).collect();
        let width = |column: usize| {
            let cells = shown.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
            cells.chain([self.columns[column].chars().count()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let line = |cells: &[String]| {
            let padded = cells.iter().zip(&widths).enumerate().map(|(n, (cell, &width))| match n {
                0 => format!("{cell:<width$}"),
                _ => format!("{cell:>width$}"),
            });
            padded.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
        };
        let mut text = format!("## {}\n", self.title);
        text.push_str(&line(&self.columns));
        shown.iter().for_each(|row| text.push_str(&line(row)));
        self.notes.iter().for_each(|note| text.push_str(&format!("{note}\n")));
        text
    }

    fn json(&self) -> serde_json::Value {
        let row = |row: &Vec<Cell>| {
            let pairs = self.columns.iter().zip(row).map(|(name, cell)| (name.clone(), cell.json()));
            serde_json::Value::Object(pairs.collect())
        };
        let rows: Vec<_> = self.rows.iter().map(row).collect();
        serde_json::json!({ "title": self.title, "rows": rows, "notes": self.notes })
    }

    /// Prints it.
    pub(super) fn print(&self, json: bool) {
        match json {
            true => println!("{}", self.json()),
            false => println!("{}", self.text()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_targets_are_judged() {
        let mut table = Table::new("t", &["name", "us"]);
        table.row(vec!["a".into(), 2.0.into()]);
        table.row(vec!["bb".into(), Cell::Nothing]);
        table.row(vec!["c".into(), 8.0.into()]);
        let mean = table.geomean(1);
        table.means();
        table.target("mean", mean, 3.9, " us");
        table.target("none", None, 1.0, "");
        let wanted = "## t\nname       us\na        2.00\nbb          -\nc        8.00\ngeomean  4.00\n\
                      target mean: at most 3.9 us, found 4.00 us: MISSED\ntarget none: at most 1, SKIPPED\n";
        assert_eq!(table.text(), wanted);
        assert_eq!(table.json()["rows"][0]["us"], 2.0);
    }
}
