//! What instances say of themselves once a second: their heartbeats, with their load.

use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::instance::{Done, Instance, Work};
use crate::support::http::Http;
use crate::support::{at, now};

/// The work of one instance as of a moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) at: Instant,
    pub(crate) done: Done,
}

/// The thread that reports for all instances which live.
pub(crate) struct Reports {
    told: Arc<Mutex<Told>>,
    thread: JoinHandle<()>,
}

/// What was seen of each instance at its reports, and whether there is to be another.
struct Told {
    samples: Vec<Vec<Sample>>,
    silent: Vec<bool>,
    over: bool,
}

impl Reports {
    /// From now on, i-0, i-1, ... of `web` are kept alive.
    pub(crate) fn start(http: Http, instances: &[Instance]) -> Self {
        let works: Vec<Arc<Work>> = instances.iter().map(|i| Arc::clone(&i.work)).collect();
        let n = works.len();
        let told = Told { samples: vec![Vec::new(); n], silent: vec![false; n], over: false };
        let told = Arc::new(Mutex::new(told));
        let own = Arc::clone(&told);
        let thread = std::thread::spawn(move || {
            loop {
                let round = now();
                for (i, work) in works.iter().enumerate() {
                    // Held until the report has arrived: who was silenced says nothing afterwards.
                    let mut told = own.lock().unwrap();
                    if told.over {
                        return;
                    }
                    if !told.silent[i] {
                        report(&http, i, work, &mut told.samples[i]);
                    }
                }
                at(round + Duration::from_secs(1));
            }
        });
        Self { told, thread }
    }

    /// `instance` says nothing more.
    pub(crate) fn silence(&self, instance: usize) {
        self.told.lock().unwrap().silent[instance] = true;
    }

    /// Ends the reports; all that was seen of each instance.
    pub(crate) fn finish(self) -> Vec<Vec<Sample>> {
        self.told.lock().unwrap().over = true;
        self.thread.join().unwrap();
        std::mem::take(&mut self.told.lock().unwrap().samples)
    }
}

/// What an instance did since its last report.
fn report(http: &Http, i: usize, work: &Work, samples: &mut Vec<Sample>) {
    let sample = Sample { at: now(), done: work.done() };
    let last = samples.last().copied();
    samples.push(sample);
    let Some(last) = last else { return };
    let seconds = (sample.at - last.at).as_secs_f64();
    let load = json!({
        "cpu": (sample.done.busy - last.done.busy).as_secs_f64() / seconds,
        "qps": (sample.done.completed - last.done.completed) as f64 / seconds,
        "connections": sample.done.connections,
    });
    let path = format!("/v1/services/web/instances/i-{i}/heartbeat");
    let reply = http.put(&path, &json!({ "load": load }));
    assert_eq!(reply.status, 200, "{reply:?}");
}

/// How much of the time from `from` to `to` an instance worked.
pub(crate) fn utilisation(samples: &[Sample], from: Instant, to: Instant) -> f64 {
    let within = |sample: &&Sample| (from..=to).contains(&sample.at);
    let (first, last) = (samples.iter().find(within), samples.iter().rfind(within));
    let (first, last) = (first.unwrap(), last.unwrap());
    (last.done.busy - first.done.busy).as_secs_f64() / (last.at - first.at).as_secs_f64()
}
