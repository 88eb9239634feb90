//! The chart that `make bench` writes, `docs/benchmarks.svg`: figures in, SVG out.
//!
//! The background is part of the picture, so that it can be read on a light page and on a dark one.

use std::fmt::Write as _;

use crate::report::{AT_4, Row, number};

const WIDTH: u32 = 760;
/// The place where bars begin, right of the names.
const LEFT: u32 = 214;
/// The width of the longest bar; the figures at the ends of bars need the rest.
const LONGEST: u32 = 370;
/// The place where the first pair begins, below the title and the legend.
const TOP: u32 = 76;
const BAR: u32 = 15;
/// The distance from one pair to the next.
const PAIR: u32 = 2 * BAR + 16;

const BACKGROUND: &str = "#ffffff";
const OURS: &str = "#0969da";
const CINDER: &str = "#8c959f";

/// Returns a bar chart on a logarithmic scale: requests a second with 4 connections, ours beside Cinder's.
pub fn svg(rows: &[Row]) -> String {
    let greatest = rows.iter().map(|row| row.rates[AT_4].max(row.cinder.better_at_4())).fold(10.0, f64::max);
    let decades = greatest.log10().ceil();
    let length = |rate: f64| (rate.max(1.0).log10() / decades * f64::from(LONGEST)).round();

    let (mut pairs, mut description, mut y) = (String::new(), String::new(), TOP);
    for row in rows {
        let (ours, cinder) = (row.rates[AT_4], row.cinder.better_at_4());
        let (name, figure, other) = (row.name, number(ours), number(cinder));
        let _ = writeln!(pairs, "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{name}</text>", LEFT - 10, y + BAR + 4);
        pairs += &bar(y, length(ours), OURS, &format!("{figure} ({} × Cinder)", number(row.times_cinder())));
        pairs += &bar(y + BAR, length(cinder), CINDER, &other);
        let _ = write!(description, " {name}: ours {figure}, Cinder {other}.");
        y += PAIR;
    }

    let (bottom, mut lines) = (y - 8, String::new());
    let (mut decade, mut rate) = (0.0, 1.0);
    while decade <= decades {
        let x = f64::from(LEFT) + length(rate);
        let label = format!("{rate:.0}");
        let label = if rate < 20.0 { label } else { number(rate) };
        let _ = write!(
            lines,
            "<path d=\"M{x} {}V{bottom}\" stroke=\"#d8dee4\"/>\n\
             <text x=\"{x}\" y=\"{}\" text-anchor=\"middle\" fill=\"#57606a\">{label}</text>\n",
            TOP - 6,
            bottom + 16,
        );
        (decade, rate) = (decade + 1.0, rate * 10.0);
    }

    let height = bottom + 66;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         role=\"img\" aria-labelledby=\"title desc\" font-family=\"system-ui, sans-serif\" font-size=\"12\" fill=\"#24292f\">\n\
         <title id=\"title\">Requests a second with 4 connections, ours beside Cinder</title>\n\
         <desc id=\"desc\">A bar chart on a logarithmic scale.{description} Cinder was measured on another day.</desc>\n\
         <rect x=\".5\" y=\".5\" width=\"{}\" height=\"{}\" rx=\"6\" fill=\"{BACKGROUND}\" stroke=\"#d0d7de\"/>\n\
         <text x=\"16\" y=\"28\" font-size=\"15\" font-weight=\"600\">Requests a second with 4 connections \
         (logarithmic scale)</text>\n\
         <rect x=\"{LEFT}\" y=\"43\" width=\"12\" height=\"12\" fill=\"{OURS}\"/>\n\
         <text x=\"{}\" y=\"53\">volume-snapshots</text>\n\
         <rect x=\"{}\" y=\"43\" width=\"12\" height=\"12\" fill=\"{CINDER}\"/>\n\
         <text x=\"{}\" y=\"53\">Cinder 29</text>\n\
         {lines}{pairs}\
         <text x=\"16\" y=\"{}\" fill=\"#57606a\">Cinder 29, on SQLite with two API workers, was measured on another day: \
         the better of two runs.</text>\n\
         <text x=\"16\" y=\"{}\" fill=\"#57606a\">A quarter of its creates failed. docs/benchmarks.md says more.</text>\n\
         </svg>\n",
        WIDTH - 1,
        height - 1,
        LEFT + 18,
        LEFT + 160,
        LEFT + 178,
        bottom + 38,
        bottom + 54,
    )
}

/// Returns a bar with its figure at the end, on a background that hides the lines of the scale.
fn bar(y: u32, length: f64, color: &str, figure: &str) -> String {
    let end = f64::from(LEFT) + length;
    // Wide enough for bold digits of a wide font.
    let width = 8 * figure.chars().count() + 6;
    format!(
        "<rect x=\"{end}\" y=\"{y}\" width=\"{width}\" height=\"{BAR}\" fill=\"{BACKGROUND}\"/>\n\
         <rect x=\"{LEFT}\" y=\"{y}\" width=\"{length}\" height=\"{BAR}\" fill=\"{color}\"/>\n\
         <text x=\"{}\" y=\"{}\" font-weight=\"600\">{figure}</text>\n",
        end + 6.0,
        y + 12,
    )
}
