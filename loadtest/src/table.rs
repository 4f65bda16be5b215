//! Tables for people: columns as wide as their widest cell, numbers to the right.

/// A table of `rows` under `titles`; every row has as many cells as there are titles.
pub(crate) fn render(titles: &[&str], rows: &[Vec<String>]) -> String {
    let widths: Vec<usize> = (0..titles.len())
        .map(|column| {
            let cells = rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count());
            cells.max().unwrap_or(0).max(titles[column].chars().count())
        })
        .collect();
    let titles: Vec<String> = titles.iter().map(|&title| title.to_owned()).collect();
    let mut text = line(&titles, &widths);
    text.push_str(&line(
        &widths.iter().map(|width| "─".repeat(*width)).collect::<Vec<_>>(),
        &widths,
    ));
    for row in rows {
        text.push_str(&line(row, &widths));
    }
    text
}

fn line(cells: &[String], widths: &[usize]) -> String {
    let padded = cells.iter().zip(widths).map(|(cell, &width)| {
        let is_number =
            cell.contains(|letter: char| letter.is_ascii_digit()) && !cell.contains(char::is_alphabetic);
        if is_number {
            format!("{cell:>width$}")
        } else {
            format!("{cell:<width$}")
        }
    });
    format!("{}\n", padded.collect::<Vec<_>>().join("  ").trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_left_and_numbers_right() {
        let rows = [
            vec!["edge".to_owned(), "7".to_owned(), "é".to_owned()],
            vec!["parent-ams".to_owned(), "1200".to_owned(), "ok".to_owned()],
        ];
        let text = render(&["node", "requests", "state"], &rows);
        let expected = "node        requests  state\n──────────  ────────  ─────\nedge               7  é\nparent-ams      1200  ok\n";
        assert_eq!(text, expected);
    }
}
