//! `resolve`: what DNS answers, and which instances it left out for what reason.

use ureq::http::Method;

use crate::cli::args::{OutputFormat, ResolveArgs};
use crate::cli::client::{Call, Client, encode};
use crate::cli::error::ClientError;
use crate::cli::output::printable;
use crate::cli::replies::{CandidateReply, RecordReply, ResolveReply, WeightsReply};
use crate::cli::table::{Layout, span};

/// Asks the question.
pub(super) fn resolve(
    client: &Client,
    output: OutputFormat,
    question: &ResolveArgs,
) -> Result<(), ClientError> {
    let (name, record_type) = (&question.name, question.record_type.to_ascii_uppercase());
    let mut path = format!("/v1/resolve?name={}&type={}", encode(name), encode(&record_type));
    if let Some(client) = question.client {
        path += &format!("&client={}", encode(&client.to_string()));
    }
    let action = format!("resolve {name} {record_type}");
    let reply = client.call(Call::new(Method::GET, action, path))?;
    output.show(&reply, |resolved, layout| {
        explanation(&format!("{name} {record_type}"), resolved, layout)
    })
}

/// Comments begin with ";;" as dig's do, so that the records alone are what is left without them.
fn explanation(question: &str, reply: &ResolveReply, layout: Layout) -> String {
    let authority = if reply.aa { ", authoritative" } else { "" };
    let truncated = if reply.tc { ", truncated" } else { "" };
    let heading = format!(";; {question}: {}{authority}{truncated}", reply.rcode);
    let mut text = printable(&heading) + "\n" + &records(&reply.answers);
    if !reply.additional.is_empty() {
        text += "\n;; additional\n";
        text += &records(&reply.additional);
    }
    if let Some(service) = &reply.service {
        let heading = format!(
            "\n;; {}: balance {}, answer {}, k {}\n",
            printable(service),
            printable(reply.balance.as_deref().unwrap_or("-")),
            printable(reply.answer.as_deref().unwrap_or("-")),
            reply.k.map_or_else(|| "-".to_owned(), |k| k.to_string()),
        );
        text += &heading;
        if let Some(panic) = &reply.panic {
            text += &format!(";; {}\n", printable(panic));
        }
        text += &instances(reply, layout);
    }
    text
}

/// Name, ttl, type, data. Never wrapped: a record is a line.
fn records(records: &[RecordReply]) -> String {
    let row = |record: &RecordReply| {
        [
            record.name.clone(),
            record.ttl.to_string(),
            record.record_type.clone(),
            record.data.clone(),
        ]
    };
    Layout::Lines.rows(records.iter().map(row))
}

fn instances(reply: &ResolveReply, layout: Layout) -> String {
    let rows = reply.instances.iter().map(|instance| {
        [
            instance.id.clone(),
            if instance.included { "in" } else { "out" }.to_owned(),
            weight(instance),
            chance(instance),
            last(instance),
            layout.list(notes(instance)),
        ]
    });
    layout.table(["ID", "ANSWER", "WEIGHT", "CHANCE", "LAST", "REASONS"], rows)
}

/// The static weight, and what every transform that changed it made of it: the last one is in force.
fn weight(instance: &CandidateReply) -> String {
    let Some(stages) = &instance.stages else { return instance.weight.to_string() };
    let WeightsReply { fixed, balance, slow_start, locality } = stages.weight;
    let mut weights = vec![fixed, balance, slow_start, locality];
    weights.dedup();
    weights.iter().map(ToString::to_string).collect::<Vec<_>>().join(">")
}

/// The chance of being first, in percent.
fn chance(instance: &CandidateReply) -> String {
    let chance = instance.stages.as_ref().and_then(|stages| stages.chance);
    chance.map_or_else(|| "-".to_owned(), |chance| format!("{:.1}%", chance * 100.0))
}

/// How long ago it was last the first of an answer, in whole seconds.
fn last(instance: &CandidateReply) -> String {
    let last = instance.stages.as_ref().and_then(|stages| stages.last_handed_out_ms);
    last.map_or_else(|| "-".to_owned(), |ago| if ago < 1_000 { "0s".to_owned() } else { span(ago) })
}

/// Why it is not in the answer, or what is the matter with one that is in all the same.
fn notes(instance: &CandidateReply) -> Vec<String> {
    let Some(stages) = instance.stages.as_ref().filter(|_| instance.included) else {
        return instance.reasons.clone();
    };
    let suspect = Some(&stages.status).filter(|status| *status == "suspect");
    let though = stages.health.iter().map(|reason| format!("though {reason}"));
    though.chain(suspect.cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_first_and_then_why() {
        let reply: ResolveReply = serde_json::from_str(
            r#"{"rcode":"NOERROR","aa":true,"tc":false,"ttl":5,
                "answers":[{"name":"web.service.local.","type":"SRV","ttl":5,
                            "data":"0 256 8080 web-1.web.service.local."}],
                "additional":[{"name":"web-1.web.service.local.","type":"A","ttl":5,
                               "data":"10.0.0.1"}],
                "service":"web","balance":"round_robin","answer":"all","k":1,
                "instances":[{"id":"web-1","in":true,"reasons":[],"weight":1,
                              "stages":{"chance":0.255,"last_handed_out_ms":2999,"weight":
                                {"static":3,"balance":1,"slow_start":1,"locality":1}}},
                             {"id":"web-2","in":false,"reasons":["draining"],"weight":1},
                             {"id":"web-3","in":true,"reasons":[],"weight":1,
                              "stages":{"chance":null,"last_handed_out_ms":null,"weight":
                                {"static":1,"balance":1,"slow_start":1,"locality":1},
                                "status":"suspect","health":["ejected","check tcp critical"]}}]}"#,
        )
        .unwrap();

        assert_eq!(
            explanation("web.service.local SRV", &reply, Layout::Lines),
            ";; web.service.local SRV: NOERROR, authoritative\n\
             web.service.local.  5  SRV  0 256 8080 web-1.web.service.local.\n\
             \n\
             ;; additional\n\
             web-1.web.service.local.  5  A  10.0.0.1\n\
             \n\
             ;; web: balance round_robin, answer all, k 1\n\
             ID     ANSWER  WEIGHT  CHANCE  LAST  REASONS\n\
             web-1  in      3>1     25.5%   2s    -\n\
             web-2  out     1       -       -     draining\n\
             web-3  in      1       -       -     \
             though ejected,though check tcp critical,suspect\n"
        );
    }

    #[test]
    fn a_name_of_no_service_has_nothing_to_explain() {
        let reply: ResolveReply = serde_json::from_str(
            r#"{"rcode":"NXDOMAIN","aa":true,"tc":false,"ttl":1,"answers":[],"additional":[],
                "service":null,"balance":null,"answer":null,"k":null,"instances":[]}"#,
        )
        .unwrap();

        assert_eq!(
            explanation("nosuch.service.local A", &reply, Layout::Lines),
            ";; nosuch.service.local A: NXDOMAIN, authoritative\n"
        );
    }
}
