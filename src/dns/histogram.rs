//! A histogram that counts without a lock: one count a bucket, resolved at start.

use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, NoLabelSet};
use prometheus_client::metrics::MetricType;

use crate::dns::count::Count;

/// Counts of values up to each of `N` bounds, and of those above the last.
#[derive(Debug)]
pub(crate) struct Histogram<const N: usize, const SHARED: bool> {
    /// In the unit that is counted in.
    bounds: [u64; N],
    /// How many of that unit make one of the unit that is shown.
    scale: f64,
    counts: [Count<SHARED>; N],
    above: Count<SHARED>,
    sum: Count<SHARED>,
}

impl<const N: usize, const SHARED: bool> Histogram<N, SHARED> {
    /// An empty histogram with these bounds, in rising order, shown divided by `scale`.
    pub(crate) fn new(bounds: [u64; N], scale: f64) -> Self {
        let counts = bounds.map(|_| Count::default());
        Self { bounds, scale, counts, above: Count::default(), sum: Count::default() }
    }

    /// Counts `value` this many times.
    pub(crate) fn observe(&self, value: u64, times: u64) {
        let bucket = self.bounds.iter().position(|bound| value <= *bound);
        bucket.map_or(&self.above, |bucket| &self.counts[bucket]).add(times);
        self.sum.add(value.saturating_mul(times));
    }

    /// Adds these counts to `sum`, which has the same bounds.
    pub(crate) fn add_to(&self, sum: &Histogram<N, false>) {
        self.counts.iter().zip(&sum.counts).for_each(|(own, sum)| sum.add(own.value()));
        sum.above.add(self.above.value());
        sum.sum.add(self.sum.value());
    }

    /// Writes it in Prometheus' terms, with `labels`.
    ///
    /// # Errors
    /// When the encoder cannot take it.
    pub(crate) fn encode(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        (name, help): (&str, &str),
        labels: &impl EncodeLabelSet,
    ) -> std::fmt::Result {
        let buckets = self.bounds.iter().zip(&self.counts);
        let mut buckets: Vec<(f64, u64)> =
            buckets.map(|(bound, n)| (self.shown(*bound), n.value())).collect();
        buckets.push((f64::INFINITY, self.above.value()));
        let count = buckets.iter().map(|(_, n)| n).sum();
        encoder
            .encode_descriptor(name, help, None, MetricType::Histogram)?
            .encode_family(labels)?
            .encode_histogram::<NoLabelSet>(self.shown(self.sum.value()), count, &buckets, None)
    }

    #[expect(clippy::cast_precision_loss, reason = "a sum that is shown to people")]
    fn shown(&self, value: u64) -> f64 {
        value as f64 / self.scale
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::collector::Collector;
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    use super::*;

    #[derive(Debug)]
    struct Shown(Histogram<2, false>);

    impl Collector for Shown {
        fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
            self.0.encode(&mut encoder, ("took_seconds", "How long"), &[("zone", "z")])
        }
    }

    #[test]
    fn values_fall_into_the_first_bucket_that_holds_them() {
        let histogram = Histogram::new([1_000, 4_000], 1_000_000.0);
        for (value, times) in [(1, 1), (1_000, 1), (1_001, 3), (5_000, 1)] {
            histogram.observe(value, times);
        }
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Shown(histogram)));

        let mut text = String::new();
        encode(&mut text, &registry).unwrap();

        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(
            lines,
            [
                r#"took_seconds_sum{zone="z"} 0.009004"#,
                r#"took_seconds_count{zone="z"} 6"#,
                r#"took_seconds_bucket{le="0.001",zone="z"} 2"#,
                r#"took_seconds_bucket{le="0.004",zone="z"} 5"#,
                r#"took_seconds_bucket{le="+Inf",zone="z"} 6"#,
            ]
        );
    }
}
