//! About how many bytes of memory things take that clients send, for what is bounded by bytes. What
//! a client can make large is counted; the rest is taken to be small.

use std::sync::Arc;

use crate::model::check::{Check, Question};
use crate::model::instance::{Instance, InstancePatch, InstanceSpec};
use crate::model::settings::{Settings, SettingsPatch, TxtPolicy};

impl Instance {
    /// About how many bytes it takes.
    #[must_use]
    pub fn footprint(&self) -> usize {
        let lists = size_of_val(&*self.addresses) + size_of_val(&*self.ports);
        let tags: usize = self.tags.iter().map(str::len).sum();
        let names = self.dependencies.get().map_or(0, Vec::len) * NAME;
        size_of::<Self>() + lists + tags + names + self.metadata.footprint() + of(self.checks())
    }
}

impl InstanceSpec {
    /// About how many bytes it takes.
    #[must_use]
    pub fn footprint(&self) -> usize {
        let ports = self.ports.as_deref().map_or(0, size_of_val);
        let lists = size_of_val(&*self.addresses) + ports;
        let names = (self.tags.len() + self.dependencies.len()) * NAME;
        size_of::<Self>() + lists + names + self.metadata.footprint() + of(&self.checks)
    }
}

impl InstancePatch {
    /// About how many bytes it takes.
    #[must_use]
    pub fn footprint(&self) -> usize {
        let tags: usize = self.tags.iter().flatten().map(|tags| tags.len() * NAME).sum();
        let entries = self.metadata.iter().flatten().flatten();
        let size = |value: &Option<String>| value.as_ref().map_or(0, String::len);
        let metadata: usize = entries.map(|(key, value)| TEXT + key.len() + size(value)).sum();
        size_of::<Self>() + tags + metadata
    }
}

impl Settings {
    /// About how many bytes they take.
    #[must_use]
    pub fn footprint(&self) -> usize {
        size_of::<Self>() + self.txt.footprint() + of(&self.checks)
    }
}

impl SettingsPatch {
    /// About how many bytes it takes.
    #[must_use]
    pub fn footprint(&self) -> usize {
        let txt = self.txt.as_ref().map_or(0, TxtPolicy::footprint);
        size_of::<Self>() + txt + self.checks.as_deref().map_or(0, of)
    }
}

impl TxtPolicy {
    fn footprint(&self) -> usize {
        match self {
            Self::None | Self::All => 0,
            Self::Keys(keys) => keys.iter().map(|key| TEXT + key.len()).sum(),
        }
    }
}

fn of(checks: &[Arc<Check>]) -> usize {
    checks.iter().map(|check| size_of::<Check>() + of_question(check)).sum()
}

fn of_question(check: &Check) -> usize {
    match check.probe().map(|probe| &probe.question) {
        None | Some(Question::Tcp) => 0,
        Some(Question::Grpc(service)) => service.len(),
        Some(Question::Http(http)) => {
            let headers: usize =
                http.headers.iter().map(|(name, value)| 2 * TEXT + name.len() + value.len()).sum();
            size_of_val(http) + http.path.as_str().len() + headers + LONGEST
        }
    }
}

/// A name that is the only one to say so.
const NAME: usize = 96;
/// What a string takes besides its text.
const TEXT: usize = 48;
/// What a host and a part of a body have at most.
const LONGEST: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Admin, InstanceId};

    fn footprints(spec: serde_json::Value) -> [usize; 2] {
        let spec: InstanceSpec = serde_json::from_value(spec).unwrap();
        let id = InstanceId::new("web-1").unwrap();
        let given = spec.footprint();
        [given, spec.build(id, None, Admin::Enabled).unwrap().footprint()]
    }

    #[test]
    fn what_a_client_makes_large_counts() {
        let small = footprints(serde_json::json!({ "addresses": ["10.0.0.1"], "port": 80 }));
        let text = "v".repeat(500);
        let large = [
            serde_json::json!({ "metadata": { "a": text } }),
            serde_json::json!({ "checks": [{ "kind": "http", "path": "/", "headers": { "a": text } }] }),
        ];

        assert!(small.iter().all(|bytes| *bytes < 2_048), "{small:?}");
        for mut spec in large {
            spec["addresses"] = serde_json::json!(["10.0.0.1"]);
            spec["port"] = serde_json::json!(80);
            for (small, bytes) in small.iter().zip(footprints(spec.clone())) {
                assert!((small + 500..small + 4_096).contains(&bytes), "{spec}: {bytes}");
            }
        }
    }
}
