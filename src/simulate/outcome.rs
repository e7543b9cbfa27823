//! What came out of one run.

use serde::Serialize;

use crate::model::AnswerMode;

/// What came out of one run, without its beginning.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// How answers were chosen.
    pub answer: AnswerMode,
    /// How many instances an answer had.
    pub k: usize,
    /// The figures.
    pub figures: Figures,
    /// The share of the requests that each server got.
    pub shares: Vec<f64>,
    /// The weights in force at the end.
    pub weights: Vec<u32>,
    /// Imbalance of each window of ten seconds, from the beginning.
    pub imbalance: Vec<f64>,
    /// The share of the servers that the scenario is about in each second, from the beginning.
    pub watched: Vec<f64>,
}

/// What a run is judged by.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Figures {
    /// Latency that half of the requests had at most, in milliseconds.
    pub p50_ms: f64,
    /// The same of 99 %.
    pub p99_ms: f64,
    /// The same of 99.9 %.
    pub p999_ms: f64,
    /// Mean latency.
    pub mean_ms: f64,
    /// Requests of the busiest server over its share by speed, in a window of ten seconds: the mean
    /// of all windows.
    pub imbalance: f64,
    /// Standard deviation over mean of the same, of all servers.
    pub imbalance_cv: f64,
    /// Standard deviation between the servers of their utilisation in a window, mean of all windows.
    pub utilisation_stdev: f64,
    /// Jain's index of what servers got by speed: 1 is fair, 1/n is all to one.
    pub jain: f64,
    /// Tries that went to a server that was not there.
    pub stale: f64,
    /// Seconds from the first fault until under 1 % of the tries went to such servers, for good; none
    /// where they never were more.
    pub stale_s: Option<f64>,
    /// The share of the requests that went to another server than the one before them that came
    /// through the same resolver, or of the same client.
    pub moves: f64,
    /// The share of the requests that failed.
    pub errors: f64,
    /// Queries that name servers answered, per second.
    pub dns_qps: f64,
    /// The mean size of a DNS answer, for `web.service.local`.
    pub answer_bytes: f64,
    /// Seconds from the first fault until nine tenths of its effect on shares is there; none where
    /// it has no effect.
    pub settle_s: Option<f64>,
    /// The largest weight in force over the smallest that one server had in the second half.
    pub weight_swing: f64,
}
