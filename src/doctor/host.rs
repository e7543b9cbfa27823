//! What else a server needs of its host: a clock, file descriptors, room for datagrams.

use std::time::Duration;

use crate::doctor::Finding;

/// The wall clock, which certificates, tokens and cookies go by. `synchronised` where the system
/// says whether it follows others.
pub(super) fn clock(now: Duration, synchronised: Option<bool>) -> Finding {
    let check = "clock";
    let next = "set the clock, and have it kept: systemd-timesyncd, chrony";
    if !PLAUSIBLE.contains(&now.as_secs()) {
        let found = format!("{} s since 1970 is not now", now.as_secs());
        return Finding::fail(check, found, next);
    }
    match synchronised {
        Some(true) => Finding::ok(check, "follows a time server"),
        Some(false) => Finding::warn(check, "follows no time server", next),
        None => Finding::ok(check, "plausible; the system does not say whether it is kept"),
    }
}

/// Whether the limit of open files leaves `connections` to DNS and to the side-port each.
pub(super) fn descriptors(hard: u64, connections: usize) -> Finding {
    let check = "open files";
    let needed = 2 * connections as u64 + OWN;
    if hard >= needed {
        return Finding::ok(check, format!("{hard} allowed here, {needed} can be needed"));
    }
    Finding::warn(
        check,
        format!("{hard} allowed here, {needed} can be needed: connections will be fewer"),
        format!("LimitNOFILE={needed} in the unit, or a lower limits.connections"),
    )
}

/// Whether sockets may have the room that a server asks for; `None` where the system does not say.
pub(super) fn buffers(rmem_max: Option<u64>) -> Finding {
    let check = "UDP buffers";
    match rmem_max {
        Some(most) if most < WANTED => Finding::warn(
            check,
            format!("at most {most} bytes: bursts of some hundred queries are lost"),
            format!("sysctl -w net.core.rmem_max={WANTED}, or ReceiveBuffer= of signpost.socket"),
        ),
        Some(most) => Finding::ok(check, format!("up to {most} bytes")),
        None => Finding::ok(check, "the system does not say"),
    }
}

/// From the writing of this to 2100: a clock out of it was never set.
const PLAUSIBLE: std::ops::Range<u64> = 1_760_000_000..4_102_444_800;
/// What sockets, the store and a reserve take.
const OWN: u64 = 64;
/// What a server asks for, for each socket.
const WANTED: u64 = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::State;

    #[test]
    fn a_host_is_judged_by_what_a_server_needs() {
        let now = Duration::from_secs(1_800_000_000);
        for (finding, state) in [
            (clock(now, Some(true)), State::Ok),
            (clock(now, None), State::Ok),
            (clock(now, Some(false)), State::Warn),
            (clock(Duration::ZERO, Some(true)), State::Fail),
            (descriptors(65_536, 4_096), State::Ok),
            (descriptors(1_024, 4_096), State::Warn),
            (buffers(Some(4_194_304)), State::Ok),
            (buffers(Some(212_992)), State::Warn),
            (buffers(None), State::Ok),
        ] {
            assert_eq!(finding.state, state, "{finding:?}");
        }
    }
}
