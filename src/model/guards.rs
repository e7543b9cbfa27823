//! Settings of the guards: what a service does with instances that are new, and when too few of
//! them are healthy. Each is off unless it is set.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::model::duration::DurationText;
use crate::model::settings::SettingsError;

/// How long the weight of a new instance grows: 0s-1h. Zero: it has its weight at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(try_from = "DurationText", into = "DurationText")]
pub struct SlowStart(Duration);

impl SlowStart {
    /// Checks the range.
    ///
    /// # Errors
    /// When `window` is over an hour.
    pub fn new(window: Duration) -> Result<Self, SettingsError> {
        if window > Duration::from_secs(3600) {
            return Err(SettingsError::SlowStart(DurationText(window)));
        }
        Ok(Self(window))
    }

    /// How long a weight grows; `None` when this is off.
    #[must_use]
    pub fn window(self) -> Option<Duration> {
        (!self.0.is_zero()).then_some(self.0)
    }
}

impl TryFrom<DurationText> for SlowStart {
    type Error = SettingsError;
    fn try_from(text: DurationText) -> Result<Self, SettingsError> {
        Self::new(text.0)
    }
}

impl From<SlowStart> for DurationText {
    fn from(slow_start: SlowStart) -> Self {
        Self(slow_start.0)
    }
}

/// A share of a whole, 0-1, kept to the millionth so that comparing is exact. Zero is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(try_from = "ShareForm", into = "ShareForm")]
pub struct Share(u32);

impl Share {
    /// The whole.
    pub const MILLION: u32 = 1_000_000;

    /// Checks the range.
    ///
    /// # Errors
    /// When `share` is not a number of 0-1.
    pub fn new(share: f64) -> Result<Self, SettingsError> {
        if !(0.0..=1.0).contains(&share) {
            return Err(SettingsError::Share(share.to_string()));
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0-1000000")]
        Ok(Self((share * f64::from(Self::MILLION)).round() as u32))
    }

    /// Whether it is zero.
    #[must_use]
    pub fn is_off(self) -> bool {
        self.0 == 0
    }

    /// So many of `whole`, rounded down.
    #[must_use]
    pub fn of(self, whole: usize) -> usize {
        // One after the other, so that nothing is too large.
        let (millions, rest) = (whole / Self::MILLION as usize, whole % Self::MILLION as usize);
        millions * self.0 as usize + rest * self.0 as usize / Self::MILLION as usize
    }

    /// Whether `part` of `whole` is more than this. Of a share that is off nothing is.
    #[must_use]
    pub fn is_exceeded(self, part: usize, whole: usize) -> bool {
        !self.is_off() && part > self.of(whole)
    }

    /// Millionths of the whole.
    #[must_use]
    pub fn millionths(self) -> u32 {
        self.0
    }
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a number, 0-1")]
enum ShareForm {
    Whole(i64),
    Part(f64),
}

impl TryFrom<ShareForm> for Share {
    type Error = SettingsError;
    fn try_from(form: ShareForm) -> Result<Self, SettingsError> {
        match form {
            ShareForm::Whole(0) => Ok(Self(0)),
            ShareForm::Whole(1) => Ok(Self(Self::MILLION)),
            ShareForm::Whole(other) => Err(SettingsError::Share(other.to_string())),
            ShareForm::Part(share) => Self::new(share),
        }
    }
}

impl From<Share> for ShareForm {
    fn from(share: Share) -> Self {
        if share.0.is_multiple_of(Share::MILLION) {
            return Self::Whole((share.0 / Share::MILLION).into());
        }
        Self::Part(f64::from(share.0) / f64::from(Share::MILLION))
    }
}

/// Who is answered in a panic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PanicMode {
    /// Everybody who has a lease and is enabled, whatever their health.
    #[default]
    Open,
    /// Nobody.
    Closed,
    /// Who was answered before the panic, as far as they are still there.
    LastGood,
}

impl PanicMode {
    /// As settings spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
            Self::LastGood => "last_good",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_0_to_1_and_prints_as_it_was_written() {
        for text in ["0", "1", "0.5", "0.55", "0.333333", "0.0001"] {
            let share: Share = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&share).unwrap(), text);
        }
        assert_eq!(serde_json::from_str::<Share>("0.0").unwrap(), Share::default());
        for text in ["-1", "2", "1.01", "-0.1", "50"] {
            let error = serde_json::from_str::<Share>(text).unwrap_err().to_string();
            assert_eq!(error, format!("{text} is out of range, 0-1 is allowed"));
        }
        assert!(Share::new(f64::NAN).is_err() && Share::new(f64::INFINITY).is_err());
        let error = serde_json::from_str::<Share>("\"half\"").unwrap_err().to_string();
        assert_eq!(error, "expected a number, 0-1");
    }

    #[test]
    fn shares_of_a_number_are_exact() {
        let share = |number| Share::new(number).unwrap();

        assert_eq!([10, 3, 1, 0].map(|whole| share(0.3).of(whole)), [3, 0, 0, 0]);
        assert_eq!([0.29, 0.57, 1.0].map(|part| share(part).of(100)), [29, 57, 100]);
        assert_eq!(share(0.5).of(3_000_001), 1_500_000);
        assert_eq!([5, 6].map(|part| share(0.5).is_exceeded(part, 10)), [false, true]);
        assert!(!share(0.0).is_exceeded(10, 10) && !share(1.0).is_exceeded(10, 10));
    }

    #[test]
    fn slow_start_is_up_to_an_hour() {
        let window = |text: &str| serde_json::from_str::<SlowStart>(text).map(SlowStart::window);

        assert_eq!(window("\"0s\"").unwrap(), None);
        assert_eq!(window("\"1h\"").unwrap(), Some(Duration::from_secs(3600)));
        let error = window("\"61m\"").unwrap_err().to_string();
        assert_eq!(error, "61m is out of range, 0s-1h is allowed");
    }
}
