//! How a service is answered: each setting with its default, and patches that override some.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::model::check::Checks;
use crate::model::duration::DurationText;
use crate::model::ejection::{Ejection, EjectionMax};
pub use crate::model::guards::{PanicMode, Share, SlowStart};
use crate::model::locality::LocalityPolicy;
pub use crate::model::numbers::{EjectionFailures, HotKeyReplicas, MaxAnswers, SrvWeightMax};
use crate::model::spans::{EjectionBase, ProtectFor};

/// How clients are spread over the instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    /// Each in turn, whatever its weight.
    #[default]
    RoundRobin,
    /// By chance, in proportion to weight.
    Random,
    /// By a smooth schedule in proportion to weight, dynamic when instances report load.
    WeightedRoundRobin,
    /// To those with the most idle capacity.
    LeastConnections,
    /// The same client, or key, to the same instance.
    ConsistentHash,
}

/// Which instances an A or AAAA answer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AnswerMode {
    /// Chosen from the algorithm, the ttl and the number of instances.
    #[default]
    Auto,
    /// Every usable instance.
    All,
    /// A sample of k, in proportion to weight.
    Subset,
    /// The same k for the same client prefix.
    StickySubset,
    /// The first max_answers of the algorithm's order.
    Ordered,
    /// One.
    Single,
}

/// Which tiers SRV lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SrvTiers {
    /// Only the lowest tier with a usable instance.
    #[default]
    Active,
    /// Every usable instance.
    All,
}

/// Which metadata DNS publishes in TXT.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "TxtForm", into = "TxtForm")]
pub enum TxtPolicy {
    /// None.
    #[default]
    None,
    /// All of it.
    All,
    /// These keys.
    Keys(Vec<String>),
}

impl TxtPolicy {
    /// Whether the pair with this key is published.
    #[must_use]
    pub fn publishes(&self, key: &str) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Keys(keys) => keys.iter().any(|k| k == key),
        }
    }
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected \"none\", \"all\" or a list of metadata keys")]
enum TxtForm {
    Word(String),
    Keys(Vec<String>),
}

impl TryFrom<TxtForm> for TxtPolicy {
    type Error = SettingsError;
    fn try_from(form: TxtForm) -> Result<Self, SettingsError> {
        match form {
            TxtForm::Word(word) if word == "none" => Ok(Self::None),
            TxtForm::Word(word) if word == "all" => Ok(Self::All),
            TxtForm::Word(word) => Err(SettingsError::Txt(word)),
            TxtForm::Keys(keys) => Ok(Self::Keys(keys)),
        }
    }
}

impl From<TxtPolicy> for TxtForm {
    fn from(policy: TxtPolicy) -> Self {
        match policy {
            TxtPolicy::None => Self::Word("none".into()),
            TxtPolicy::All => Self::Word("all".into()),
            TxtPolicy::Keys(keys) => Self::Keys(keys),
        }
    }
}

/// The TTL of a service's records: 0s-1h. Zero means that nobody may cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "DurationText", into = "DurationText")]
pub struct RecordTtl(Duration);

impl RecordTtl {
    /// Nobody may cache.
    pub const ZERO: Self = Self(Duration::ZERO);

    /// Checks the range.
    ///
    /// # Errors
    /// When `duration` is over an hour.
    pub fn new(duration: Duration) -> Result<Self, SettingsError> {
        if duration > Duration::from_secs(3600) {
            return Err(SettingsError::Ttl(DurationText(duration)));
        }
        Ok(Self(duration))
    }

    /// The duration.
    #[must_use]
    pub fn get(self) -> Duration {
        self.0
    }
}

impl Default for RecordTtl {
    fn default() -> Self {
        Self(Duration::from_secs(5))
    }
}

impl TryFrom<DurationText> for RecordTtl {
    type Error = SettingsError;
    fn try_from(text: DurationText) -> Result<Self, SettingsError> {
        Self::new(text.0)
    }
}

impl From<RecordTtl> for DurationText {
    fn from(ttl: RecordTtl) -> Self {
        Self(ttl.0)
    }
}

/// Why a setting is illegal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// Not a TXT policy.
    #[error("{0:?} is neither \"none\" nor \"all\" nor a list of metadata keys")]
    Txt(String),
    /// A TTL out of range.
    #[error("{0} is out of range, 0s-1h is allowed")]
    Ttl(DurationText),
    /// A slow start out of range.
    #[error("{0} is out of range, 0s-1h is allowed")]
    SlowStart(DurationText),
    /// Not a share.
    #[error("{0} is out of range, 0-1 is allowed")]
    Share(String),
}

/// Defines [`Settings`] and [`SettingsPatch`] from one list, so that no key is in one only.
macro_rules! settings {
    ($($(#[$doc:meta])* $key:ident: $type:ty,)*) => {
        /// What a service is answered by, every setting in force.
        #[derive(Debug, Clone, PartialEq, Default, Serialize, ToSchema)]
        pub struct Settings {
            $($(#[$doc])* pub $key: $type,)*
        }

        /// Some settings: those of `[defaults]`, of `[services.NAME]`, or of an override by API.
        #[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
        #[serde(deny_unknown_fields, default, expecting = "an object with settings")]
        pub struct SettingsPatch {
            $(
                $(#[$doc])*
                #[serde(skip_serializing_if = "Option::is_none")]
                pub $key: Option<$type>,
            )*
        }

        impl Settings {
            /// These settings with those of `patch` in their place, key by key.
            #[must_use]
            pub fn patched(&self, patch: &SettingsPatch) -> Self {
                Self { $($key: patch.$key.clone().unwrap_or_else(|| self.$key.clone()),)* }
            }
        }

        impl SettingsPatch {
            /// Whether it says nothing.
            #[must_use]
            pub fn is_empty(&self) -> bool {
                $(self.$key.is_none() &&)* true
            }
        }
    };
}

settings! {
    /// The algorithm.
    balance: Balance,
    /// Which instances an address answer holds.
    answer: AnswerMode,
    /// TTL of the records.
    ttl: RecordTtl,
    /// At most this many records in a sampled or ordered address answer.
    max_answers: MaxAnswers,
    /// Which tiers SRV lists.
    srv_tiers: SrvTiers,
    /// The largest SRV weight.
    srv_weight_max: SrvWeightMax,
    /// Which metadata DNS publishes.
    txt: TxtPolicy,
    /// How long the weight of a new instance grows.
    slow_start: SlowStart,
    /// The share of healthy instances, by weight, under which the service is in panic.
    panic: Share,
    /// Who is answered in a panic.
    panic_mode: PanicMode,
    /// Share of instances above which leases that end together do not take them away; 0: off.
    protect: Share,
    /// How each instance is checked, besides what it says itself.
    checks: Checks,
    /// Whether clients are sent to instances near them.
    locality: LocalityPolicy,
    /// Over how many of its owners a key goes that is too much for one.
    hot_key_replicas: HotKeyReplicas,
    /// How long instances are kept by `protect`.
    protect_for: ProtectFor,
    /// Whether outcomes that clients report eject instances.
    ejection: Ejection,
    /// How many failures in a row do.
    ejection_failures: EjectionFailures,
    /// How long the first ejection takes.
    ejection_base: EjectionBase,
    /// The largest share of instances that may be ejected at once.
    ejection_max: EjectionMax,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_overrides_key_by_key() {
        let patch: SettingsPatch =
            serde_json::from_str(r#"{"balance":"random","txt":["version"],"panic":0}"#).unwrap();

        let settings = Settings::default().patched(&patch);

        assert_eq!(settings.balance, Balance::Random);
        assert_eq!(settings.txt, TxtPolicy::Keys(vec!["version".into()]));
        assert_eq!(settings.ttl, RecordTtl::default());
    }
}
