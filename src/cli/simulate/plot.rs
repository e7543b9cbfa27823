//! The pictures of a simulation.

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::cli::simulate::report::Report;
use crate::simulate::compare::Trial;

/// The name of each picture's file, and its SVG.
pub(super) fn plots(report: &Report<'_>) -> Vec<(&'static str, String)> {
    let mut plots = vec![("p99-by-ttl.svg", by_ttl(report)), ("imbalance.svg", imbalance(report))];
    if report.plan.scenario.begins().is_some() {
        plots.push(("response.svg", response(report)));
    }
    plots
}

/// A line and what it is called.
struct Line {
    name: &'static str,
    points: Vec<(f64, f64)>,
}

/// What a picture is about.
struct Picture {
    title: String,
    x: &'static str,
    y: &'static str,
    /// In powers of ten.
    logarithmic: bool,
    lines: Vec<Line>,
}

fn by_ttl(report: &Report<'_>) -> String {
    let per_service = report.advice.by_ttl.len() / report.trials.len().max(1);
    let point = |trial: &Trial| (trial.service.ttl.get().as_secs_f64(), trial.p99().max(0.1));
    let line = |row: &[Trial]| Line {
        name: row.first().map_or("", |trial| trial.service.label()),
        points: row.iter().map(point).collect(),
    };
    Picture {
        title: "99th percentile of latency against TTL".to_owned(),
        x: "TTL in seconds",
        y: "p99 in milliseconds",
        logarithmic: true,
        lines: report.advice.by_ttl.chunks(per_service.max(1)).map(line).collect(),
    }
    .svg()
}

fn imbalance(report: &Report<'_>) -> String {
    let windows = |trial: &Trial| trial.series(|outcome| &outcome.imbalance);
    let at = |window: usize| (window + 1) as f64 * 10.0;
    let line = |trial: &Trial| Line {
        name: trial.service.label(),
        points: windows(trial).into_iter().enumerate().map(|(i, y)| (at(i), y)).collect(),
    };
    Picture {
        title: "Requests of the busiest server over its fair share, in 10 s".to_owned(),
        x: "seconds",
        y: "imbalance",
        logarithmic: false,
        lines: report.trials.iter().map(line).collect(),
    }
    .svg()
}

/// The share of the servers that the scenario is about, in spans of 5 s; imbalance where it is about
/// none.
fn response(report: &Report<'_>) -> String {
    let line = |trial: &Trial| {
        let shares = trial.series(|outcome| &outcome.watched);
        let spans = shares.chunks_exact(SPAN).enumerate();
        let point = |(i, span): (usize, &[f64])| {
            ((i * SPAN) as f64, span.iter().sum::<f64>() / SPAN as f64 * 100.0)
        };
        Line { name: trial.service.label(), points: spans.map(point).collect() }
    };
    let fault = report.plan.scenario.begins().unwrap_or(0.0) * report.seconds;
    Picture {
        title: format!("Tries at the servers that the fault is about, from {fault:.0}s on"),
        x: "seconds",
        y: "% of all",
        logarithmic: false,
        lines: report.trials.iter().map(line).collect(),
    }
    .svg()
}

impl Picture {
    fn svg(&self) -> String {
        let mut svg = String::new();
        {
            let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
            // Into memory: what could fail is a picture too small for its labels.
            self.draw(&area).expect("there is room for a picture");
        }
        svg
    }

    fn draw(
        &self,
        area: &DrawingArea<SVGBackend<'_>, Shift>,
    ) -> Result<(), Box<dyn std::error::Error>> {
        area.fill(&WHITE)?;
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let end = points().map(|(x, _)| *x).fold(1.0, f64::max);
        let top = points().map(|(_, y)| *y).fold(f64::MIN_POSITIVE, f64::max) * 1.1;
        let bottom = points().map(|(_, y)| *y).fold(top, f64::min) / 1.1;
        let mut builder = ChartBuilder::on(area);
        builder
            .caption(&self.title, ("sans-serif", 20))
            .margin(12)
            .x_label_area_size(40)
            .y_label_area_size(64);
        macro_rules! finish {
            ($y:expr) => {{
                let mut chart = builder.build_cartesian_2d(0.0..end, $y)?;
                chart
                    .configure_mesh()
                    .x_desc(self.x)
                    .y_desc(self.y)
                    .light_line_style(WHITE)
                    .draw()?;
                for (line, colour) in self.lines.iter().zip(COLOURS) {
                    let style = colour.stroke_width(2);
                    let drawn = LineSeries::new(line.points.iter().copied(), style);
                    chart
                        .draw_series(drawn)?
                        .label(line.name)
                        .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
                }
                chart
                    .configure_series_labels()
                    .position(SeriesLabelPosition::UpperRight)
                    .background_style(WHITE.mix(0.8))
                    .border_style(RGBColor(200, 200, 200))
                    .draw()?;
            }};
        }
        // The two axes are of different types.
        if self.logarithmic {
            finish!((bottom..top).log_scale());
        } else {
            finish!(0.0..top);
        }
        Ok(area.present()?)
    }
}

const SIZE: (u32, u32) = (860, 480);
/// Seconds that a point of a response stands for.
const SPAN: usize = 5;
/// Told apart by the colour-blind, too (Okabe and Ito).
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(213, 94, 0),
    RGBColor(86, 180, 233),
];
