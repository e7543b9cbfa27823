//! The cost of a query against the number of instances, as a picture.

use std::fmt::Write;

use crate::scale::Size;

/// An SVG of what was measured.
pub(crate) fn svg(sizes: &[Size]) -> String {
    let top = sizes.iter().flat_map(|size| [Some(size.cpu), size.nsd]).flatten();
    let top = (top.fold(0.0, f64::max) * 1e6).ceil().max(1.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n"
    );
    let mut add = |element: std::fmt::Arguments<'_>| {
        writeln!(svg, "{element}").expect("a string takes everything");
    };
    let (left, right, base) = (MARGIN, WIDTH - MARGIN, HEIGHT - MARGIN);
    let y = |micros: f64| base - micros / top * (base - MARGIN);
    let x = |instances: usize| {
        #[expect(clippy::cast_precision_loss, reason = "a place in a picture")]
        let power = (instances as f64).log10();
        left + (power - 1.0) / 5.0 * (right - left)
    };
    let mut micros = 0.0;
    while micros <= top {
        let y = y(micros);
        add(format_args!(
            "<path d=\"M{left} {y:.1}H{right}\" stroke=\"#ddd\"/><text x=\"{}\" y=\"{:.1}\" \
             text-anchor=\"end\">{micros}</text>",
            left - 8.0,
            y + 4.0
        ));
        micros += 1.0;
    }
    for (instances, text) in SIZES {
        add(format_args!(
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{text}</text>",
            x(instances),
            base + 20.0
        ));
    }
    let ours: Vec<(f64, f64)> =
        sizes.iter().map(|size| (x(instances(size)), y(size.cpu * 1e6))).collect();
    let nsd: Vec<(f64, f64)> =
        sizes.iter().filter_map(|size| Some((x(instances(size)), y(size.nsd? * 1e6)))).collect();
    let lines = [(nsd, "NSD, static", "#888", 34.0), (ours, "signpost, round_robin", "#06c", 14.0)];
    for (line, name, colour, above) in lines {
        let points: Vec<String> = line.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        add(format_args!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2.5\"/>\
             <text x=\"{right}\" y=\"{}\" text-anchor=\"end\" fill=\"{colour}\">{name}</text>",
            points.join(" "),
            base - above
        ));
    }
    add(format_args!(
        "<text x=\"{left}\" y=\"28\">processor time for a query, in microseconds, 10 addresses in \
         each answer</text>\n<text x=\"{right}\" y=\"{}\" text-anchor=\"end\">instances, 10 a \
         service</text>\n</svg>",
        HEIGHT - 8.0
    ));
    svg
}

fn instances(size: &Size) -> usize {
    size.data.services * size.data.instances
}

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 360.0;
const MARGIN: f64 = 48.0;
const SIZES: [(usize, &str); 6] = [
    (10, "10"),
    (100, "100"),
    (1_000, "1,000"),
    (10_000, "10,000"),
    (100_000, "100,000"),
    (1_000_000, "1,000,000"),
];
