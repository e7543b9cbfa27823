//! Pictures of what was measured: a line of text, and an SVG in the target folder.

use std::path::{Path, PathBuf};

use plotters::prelude::*;

/// One character for each value of 0 to 1, by eighths.
pub(crate) fn sparkline(values: &[f64]) -> String {
    let bar = |value: &f64| {
        let eighth = (1..8).filter(|i| *value > f64::from(*i) / 8.0).count();
        char::from_u32(0x2581 + u32::try_from(eighth).unwrap()).unwrap()
    };
    values.iter().map(bar).collect()
}

/// What is drawn: a line for each instance, over the seconds of the test.
pub(crate) struct Plot<'a> {
    /// Seconds and utilisation of each instance.
    pub(crate) lines: &'a [Vec<(f64, f64)>],
    /// How many of them, from the first, are slow.
    pub(crate) slow: usize,
    /// Moments to point out.
    pub(crate) marks: &'a [f64],
}

impl Plot<'_> {
    /// Draws it into a file of this name. Where it is.
    pub(crate) fn save(&self, name: &str) -> PathBuf {
        let target = Path::new(env!("CARGO_BIN_EXE_signpost")).ancestors().nth(2).unwrap();
        let path = target.join(name);
        self.draw(&path).expect("a file in the target folder can be written");
        path
    }

    fn draw(&self, path: &Path) -> Result<(), Box<dyn std::error::Error>> {
        let end = self.lines.iter().flatten().map(|(second, _)| *second).fold(1.0, f64::max);
        let area = SVGBackend::new(path, (900, 420)).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption("utilisation of 6 slow (red) and 6 fast (blue) instances", ("sans-serif", 16))
            .margin(12)
            .x_label_area_size(36)
            .y_label_area_size(44)
            .build_cartesian_2d(0.0..end, 0.0..1.1)?;
        chart.configure_mesh().x_desc("seconds").draw()?;
        for mark in self.marks {
            let line = [(*mark, 0.0), (*mark, 1.1)];
            chart.draw_series(LineSeries::new(line, BLACK.mix(0.4)))?;
        }
        for (i, line) in self.lines.iter().enumerate() {
            let colour = if i < self.slow { RED } else { BLUE };
            chart.draw_series(LineSeries::new(line.iter().copied(), colour.mix(0.7)))?;
        }
        area.present()?;
        Ok(())
    }
}
