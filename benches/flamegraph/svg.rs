//! Draws stacks as a flame graph: a function is as wide as its samples are many and lies on the one
//! that has called it.

use std::collections::BTreeMap;
use std::fmt::Write;

/// The picture of `stacks`: names of functions, the outermost first, and in how many samples.
pub(crate) fn draw(title: &str, stacks: &[(Vec<String>, u64)]) -> String {
    let mut root = Node::default();
    for (frames, samples) in stacks {
        root.samples += samples;
        let mut node = &mut root;
        for frame in frames {
            node = node.called.entry(frame.clone()).or_default();
            node.samples += samples;
        }
    }
    root.prune((root.samples * NARROWEST).div_ceil(WIDTH));
    let height = TOP + root.depth() * ROW + 8;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"monospace\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"4\" y=\"16\" font-family=\"sans-serif\" font-size=\"14\">{}</text>\n",
        escaped(title)
    );
    let mut x = 4;
    for (name, _, colour) in OWNERS {
        write(
            &mut svg,
            format_args!("<rect x=\"{x}\" y=\"25\" width=\"10\" height=\"10\" fill=\"{colour}\"/>"),
        );
        write(&mut svg, format_args!("<text x=\"{}\" y=\"34\">{name}</text>\n", x + 14));
        x += 110;
    }
    place(&root, 0, height - 8 - ROW, root.samples, &mut svg);
    svg + "</svg>\n"
}

/// A function with one stack of callers.
#[derive(Default)]
struct Node {
    samples: u64,
    /// By name, so that two pictures of one profile are the same.
    called: BTreeMap<String, Self>,
}

impl Node {
    /// Takes away what was seen less often, which nobody could read.
    fn prune(&mut self, least: u64) {
        self.called.retain(|_, called| called.samples >= least);
        self.called.values_mut().for_each(|called| called.prune(least));
    }

    fn depth(&self) -> u64 {
        self.called.values().map(|called| 1 + called.depth()).max().unwrap_or(0)
    }
}

/// Writes what `node` has called, from `before` samples from the left on and at `y`, and all above.
fn place(node: &Node, mut before: u64, y: u64, all: u64, svg: &mut String) {
    for (name, called) in &node.called {
        let (x, end) = (before * WIDTH / all, (before + called.samples) * WIDTH / all);
        let width = (end - x).max(2) - 1;
        let tenths = called.samples * 1_000 / all;
        let label: String =
            name.chars().take(usize::try_from(width / LETTER).unwrap_or(0)).collect();
        write(
            svg,
            format_args!(
                "<g><title>{} ({}.{} %)</title><rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{}\" fill=\"{}\"/>",
                escaped(name),
                tenths / 10,
                tenths % 10,
                ROW - 1,
                colour(name),
            ),
        );
        // Fewer letters say nothing.
        if label.len() > 2 {
            write(
                svg,
                format_args!("<text x=\"{}\" y=\"{}\">{}</text>", x + 2, y + 11, escaped(&label)),
            );
        }
        svg.push_str("</g>\n");
        place(called, before, y.saturating_sub(ROW), all, svg);
        before += called.samples;
    }
}

fn write(svg: &mut String, text: std::fmt::Arguments<'_>) {
    svg.write_fmt(text).expect("a string takes everything");
}

fn colour(name: &str) -> &'static str {
    let owner = OWNERS.iter().find(|(_, beginning, _)| name.starts_with(beginning));
    owner.map_or(OTHERS, |(_, _, colour)| colour)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Whose function it is: a name for people, how its own begins, and a colour.
const OWNERS: [(&str, &str, &str); 5] = [
    ("dns", "dns::", "#9ecae9"),
    ("resolve", "resolve::", "#ffbf79"),
    ("balance", "balance::", "#8cd17d"),
    ("registry", "registry::", "#d4a6c8"),
    ("system", "system::", "#f28e8c"),
];
const OTHERS: &str = "#d8d8d8";

const WIDTH: u64 = 1_200;
/// Of a box, in pixels.
const NARROWEST: u64 = 3;
/// Above the boxes: title and colours.
const TOP: u64 = 44;
const ROW: u64 = 16;
/// The width of one.
const LETTER: u64 = 7;
