//! The figures of a run as JSON, for whoever wants to draw or compare them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::disturbed::Disturbed;
use crate::rounds::Rows;
use crate::scale::Size;
use crate::visible::Visible;
use crate::writes::Written;

/// Everything that was measured.
#[derive(Default)]
pub(crate) struct Results {
    pub(crate) rows: Rows,
    pub(crate) written: Written,
    pub(crate) visible: Option<Visible>,
    pub(crate) disturbed: Vec<Disturbed>,
    pub(crate) sizes: Vec<Size>,
}

impl Results {
    /// Writes them below the target folder, and tells where.
    ///
    /// # Errors
    /// When that can't be written.
    pub(crate) fn save(&self) -> io::Result<PathBuf> {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("peers");
        let file = folder.join("results.json");
        fs::create_dir_all(folder)?;
        fs::write(&file, format!("{:#}\n", self.json()))?;
        Ok(file)
    }

    fn json(&self) -> Value {
        let rows = self.rows.iter().flat_map(|((set, server), row)| {
            row.turns.iter().map(move |turn| {
                json!({
                    "asked": set.title(), "server": server.name(), "round": turn.round,
                    "queries_per_second": turn.rate, "cpu_us": turn.cpu * 1e6,
                    "p50_us": turn.p50 * 1e6, "p99_us": turn.p99 * 1e6, "memory": turn.memory,
                    "instructions": row.instructions,
                })
            })
        });
        let written = self.written.iter().flat_map(|((work, connections), turns)| {
            turns.iter().map(move |turn| {
                json!({
                    "write": work.name(), "connections": connections,
                    "writes_per_second": turn.rate, "cpu_us": turn.cpu * 1e6,
                    "p50_ms": turn.p50 * 1e3, "p99_ms": turn.p99 * 1e3,
                })
            })
        });
        let visible = self.visible.map(|visible| {
            json!({
                "registrations": visible.registrations, "stale": visible.stale,
                "p50_us": visible.p50.as_micros(), "p99_us": visible.p99.as_micros(),
            })
        });
        let disturbed = self.disturbed.iter().map(|disturbed| {
            json!({
                "changes_per_second": disturbed.changes,
                "p99_idle_us": disturbed.idle.as_micros(),
                "p99_busy_us": disturbed.busy.as_micros(),
            })
        });
        let sizes = self.sizes.iter().map(|size| {
            json!({
                "services": size.data.services, "instances": size.data.instances,
                "query_cpu_us": size.cpu * 1e6, "nsd_cpu_us": size.nsd.map(|nsd| nsd * 1e6),
                "registration_cpu_us": size.registration * 1e6,
                "bytes_an_instance": size.registered,
                "bytes_an_instance_restarted": size.loaded, "ready_s": size.ready.as_secs_f64(),
            })
        });
        json!({
            "queries": rows.collect::<Vec<_>>(), "writes": written.collect::<Vec<_>>(),
            "visible": visible, "disturbed": disturbed.collect::<Vec<_>>(),
            "sizes": sizes.collect::<Vec<_>>(),
        })
    }
}
