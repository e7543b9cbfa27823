//! `GET /debug/pprof/profile`: where the processor's time goes, for programs that read pprof.
//!
//! For this machine and admins alone: a profile tells of the process's inside, and costs time while it is taken.
//! Who takes it is the server's matter; without one the path does not exist.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{ConnectInfo, FromRequest, Request, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

use crate::http::app::{App, ProfileError, ProfileRequest};
use crate::http::caller::Caller;
use crate::http::extract::{Given, Parameters, Query};
use crate::http::problem::{Problem, ProblemKind};
use crate::http::system;
use crate::model::Limit;
use crate::registry::Refusal;

/// `GET /debug/pprof/profile`
pub(crate) async fn take(
    State(app): State<Arc<App>>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    caller: Caller,
    request: Request,
) -> Result<Response, Problem> {
    let Some(profiler) = &app.hooks.profiler else {
        return Err(system::not_found(request.uri().clone()).await);
    };
    if !caller.is_known_admin() {
        admit(client.ip())?;
    }
    let Query(request) = Query::from_request(request, &app).await?;
    let profile = tokio::select! {
        profile = profiler(request) => profile?,
        () = app.going_down() => return Err(Refusal::ShuttingDown.into()),
    };
    let headers = [
        (CONTENT_TYPE, "application/octet-stream"),
        (CONTENT_DISPOSITION, r#"attachment; filename="profile.pb""#),
    ];
    Ok((headers, profile).into_response())
}

/// Only this machine may, where clients do not prove who they are.
fn admit(client: IpAddr) -> Result<(), Problem> {
    if client.is_loopback() {
        return Ok(());
    }
    Err(Problem::new(ProblemKind::Forbidden, "profiles are for clients on this machine"))
}

impl Parameters for ProfileRequest {
    const NAMES: &'static [&'static str] = &["seconds", "hz"];

    fn read(given: &Given<'_>) -> Result<Self, Problem> {
        let within = |name: &str, default: u16, most: u16| match given.value(name)? {
            None => Ok(default),
            Some(value) if (1..=most).contains(&value) => Ok(value),
            Some(value) => {
                Err(Problem::invalid(name, &format!("{value} is not one of 1 to {most}")))
            }
        };
        let seconds = within("seconds", DEFAULT_SECONDS, MAX_SECONDS)?;
        Ok(Self {
            time: Duration::from_secs(seconds.into()),
            hz: within("hz", DEFAULT_HZ, MAX_HZ)?,
        })
    }
}

impl From<ProfileError> for Problem {
    fn from(error: ProfileError) -> Self {
        let detail = error.to_string();
        match error {
            ProfileError::Busy => Self::over(Limit::Profiles, ProblemKind::Limit, detail),
            ProfileError::Failed(_) => Self::new(ProblemKind::Unavailable, detail),
        }
    }
}

const DEFAULT_SECONDS: u16 = 10;
const MAX_SECONDS: u16 = 60;
/// Not 100, so that what happens every 10 ms is not always seen, or never.
const DEFAULT_HZ: u16 = 99;
const MAX_HZ: u16 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_for_this_machine_alone() {
        for (client, admitted) in [
            ("127.0.0.1", true),
            ("127.64.0.9", true),
            ("::1", true),
            ("192.168.1.2", false),
            ("2001:db8::1", false),
        ] {
            let kind = admit(client.parse().unwrap()).map_err(|problem| problem.kind);
            assert_eq!(
                kind,
                if admitted { Ok(()) } else { Err(ProblemKind::Forbidden) },
                "{client}"
            );
        }
    }
}
