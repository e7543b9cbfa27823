//! Values of `simulate`'s flags that have a syntax of their own, and ranges that say so.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::model::{DurationText, Weight};

/// A number for each server: `1:3` gives each part of the fleet one, `1,1,2` each server.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Group {
    Parts(Vec<f64>),
    Each(Vec<f64>),
}

impl FromStr for Group {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let number = number(0.01, 100.0);
        let numbers = |separator: char| -> Result<Vec<f64>, String> {
            text.split(separator).map(&number).collect()
        };
        Ok(if text.contains(',') { Self::Each(numbers(',')?) } else { Self::Parts(numbers(':')?) })
    }
}

impl Group {
    /// The number of each of `servers`; none when there are not as many servers as numbers.
    pub(super) fn spread(&self, servers: usize) -> Option<Vec<f64>> {
        match self {
            Self::Parts(parts) => {
                let part = |server| parts[server * parts.len() / servers];
                (parts.len() <= servers).then(|| (0..servers).map(part).collect())
            }
            Self::Each(each) => (each.len() == servers).then(|| each.clone()),
        }
    }

    /// Why they do not fit.
    pub(super) fn misfit(&self, flag: &str, servers: usize) -> String {
        match self {
            Self::Parts(parts) => {
                format!("{flag} has {} parts, --servers {servers} is fewer", parts.len())
            }
            Self::Each(each) => {
                format!("{flag} has {} numbers, --servers {servers} wants as many", each.len())
            }
        }
    }
}

/// Static weights.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Weighing {
    /// In proportion to speed.
    Speed,
    /// All 1.
    Equal,
    These(Group),
}

impl FromStr for Weighing {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let whole = |text: &str| text.parse().ok().and_then(|n| Weight::new(n).ok());
        let numbers = |separator: char| -> Result<Vec<f64>, String> {
            let each = text.split(separator).map(|number| {
                let weight = whole(number).ok_or_else(|| {
                    format!("{number:?} is none of: speed, equal, a whole number from 1 to 65535")
                })?;
                Ok(weight.get().into())
            });
            each.collect()
        };
        Ok(match text {
            "speed" => Self::Speed,
            "equal" => Self::Equal,
            _ if text.contains(',') => Self::These(Group::Each(numbers(',')?)),
            _ => Self::These(Group::Parts(numbers(':')?)),
        })
    }
}

impl Weighing {
    /// The weight of each server.
    ///
    /// # Errors
    /// When there are not as many as servers: why.
    pub(super) fn spread(&self, speeds: &[f64]) -> Result<Vec<Weight>, String> {
        let n = speeds.len();
        let numbers: Vec<i64> = match self {
            Self::Equal => vec![1; n],
            Self::Speed => {
                in_lowest_terms(speeds.iter().map(|speed| whole(speed * 100.0)).collect())
            }
            Self::These(group) => {
                let numbers = group.spread(n).ok_or_else(|| group.misfit("--weights", n))?;
                numbers.into_iter().map(whole).collect()
            }
        };
        let weight = |number| Weight::new(number).map_err(|error| format!("--weights: {error}"));
        numbers.into_iter().map(weight).collect()
    }
}

fn in_lowest_terms(numbers: Vec<i64>) -> Vec<i64> {
    let gcd = numbers.iter().copied().fold(0, |a, b| {
        let (mut a, mut b) = (a, b);
        while b != 0 {
            (a, b) = (b, a % b);
        }
        a
    });
    numbers.into_iter().map(|number| number / gcd.max(1)).collect()
}

#[expect(clippy::cast_possible_truncation, reason = "numbers of flags are at most 65535")]
fn whole(number: f64) -> i64 {
    number.round() as i64
}

/// Reads a number from `min` to `max`.
pub(super) fn number(min: f64, max: f64) -> impl Fn(&str) -> Result<f64, String> + Clone {
    move |text| {
        let number = text.parse().ok().filter(|number| (min..=max).contains(number));
        number.ok_or_else(|| out_of_range(text, min, max))
    }
}

/// Reads a duration from `min` to `max` milliseconds.
pub(super) fn duration(
    min: u64,
    max: u64,
) -> impl Fn(&str) -> Result<DurationText, String> + Clone + Send + Sync {
    move |text| {
        let (min, max) = (Duration::from_millis(min), Duration::from_millis(max));
        let duration: DurationText = text.parse().map_err(|error| format!("{error}"))?;
        if (min..=max).contains(&duration.0) {
            return Ok(duration);
        }
        Err(out_of_range(duration, DurationText(min), DurationText(max)))
    }
}

fn out_of_range(
    found: impl fmt::Display,
    min: impl fmt::Display,
    max: impl fmt::Display,
) -> String {
    format!("{found} is out of range, {min}-{max} is allowed")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(text: &str, servers: usize) -> Option<Vec<f64>> {
        text.parse::<Group>().unwrap().spread(servers)
    }

    #[test]
    fn parts_share_the_fleet_and_lists_have_a_number_for_each() {
        assert_eq!(spread("2", 3), Some(vec![2.0; 3]));
        assert_eq!(spread("1:3", 5), Some(vec![1.0, 1.0, 1.0, 3.0, 3.0]));
        assert_eq!(spread("1,0.5,2", 3), Some(vec![1.0, 0.5, 2.0]));
        assert_eq!((spread("1,2", 3), spread("1:2:3", 2)), (None, None));
    }

    #[test]
    fn other_numbers_are_refused_with_the_range() {
        for text in ["", "x", "0", "1:", "1,101", "-1", "nan"] {
            let error = text.parse::<Group>().unwrap_err();

            assert!(error.ends_with("is out of range, 0.01-100 is allowed"), "{text}: {error}");
        }
        assert_eq!(duration(50, 1000)("2s").unwrap_err(), "2s is out of range, 50ms-1s is allowed");
    }

    #[test]
    fn weights_follow_speeds_in_lowest_terms() {
        let weights = |text: &str, speeds: &[f64]| {
            let weights = text.parse::<Weighing>().unwrap().spread(speeds)?;
            Ok::<Vec<u16>, String>(weights.into_iter().map(Weight::get).collect())
        };

        assert_eq!(weights("speed", &[1.0, 2.5]), Ok(vec![2, 5]));
        assert_eq!(weights("equal", &[1.0, 2.5]), Ok(vec![1, 1]));
        assert_eq!(weights("4:1", &[1.0, 2.5]), Ok(vec![4, 1]));
        assert_eq!(
            weights("4,1", &[1.0]),
            Err("--weights has 2 numbers, --servers 1 wants as many".to_owned())
        );
        assert!("0".parse::<Weighing>().is_err());
    }
}
