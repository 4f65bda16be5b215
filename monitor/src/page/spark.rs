//! Small curves, as SVG without a word of script.

use maud::{Markup, html};

/// Of a curve, CSS pixels.
const WIDTH: f64 = 120.0;
const HEIGHT: f64 = 18.0;

/// Minutes from one end to the other.
const MINUTES: f64 = 60.0;

/// A curve through `(minute, value)`, broken where minutes are missing. It is drawn from 0 to `most`, or to the largest
/// value where none is given.
pub(super) fn line(points: &[(u64, f64)], most: Option<f64>) -> Markup {
    let largest = points.iter().map(|point| point.1).fold(0.0, f64::max);
    let most = most.unwrap_or(largest).max(f64::MIN_POSITIVE);
    let path = path(points, most);
    html! {
        svg.spark width=(WIDTH) height=(HEIGHT) viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) aria-hidden="true" {
            path d=(path) {}
        }
    }
}

fn path(points: &[(u64, f64)], most: f64) -> String {
    let mut text = String::new();
    let mut last = None;
    for (minute, value) in points {
        let x = *minute as f64 / MINUTES * WIDTH;
        let y = HEIGHT - 1.0 - (value / most).clamp(0.0, 1.0) * (HEIGHT - 2.0);
        let joins = last.is_some_and(|last: u64| last + 1 == *minute);
        let command = if joins { 'L' } else { 'M' };
        text.push_str(&format!("{command}{x:.1} {y:.1}"));
        if !joins {
            // A point that stands alone would be invisible.
            text.push_str("h1");
        }
        last = Some(*minute);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_is_broken_where_minutes_are_missing() {
        let points = [(0, 1.0), (1, 0.5), (5, 0.0)];
        assert_eq!(path(&points, 1.0), "M0.0 1.0h1L2.0 9.0M10.0 17.0h1");
        assert_eq!(path(&[], 1.0), "");
        assert!(line(&[(3, 0.0)], None).into_string().contains("M6.0 17.0"));
    }
}
