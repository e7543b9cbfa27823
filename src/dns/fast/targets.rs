//! SRV records, and the addresses of their targets.

use crate::dns::compress;
use crate::dns::fast::Lists;
use crate::dns::fast::question::Question;
use crate::dns::fast::records::{SRV, Writer};
use crate::dns::name::{MAX_LABEL, Name};
use crate::dns::writer::label_length;
use crate::registry::{ServiceView, Targets};
use crate::resolve::Pooled;

/// Whether the records of all targets fit, whatever their order, and need no more care than
/// [`write`] takes.
pub(super) fn fit(
    view: &ServiceView,
    targets: &Targets,
    apex: &[u8],
    question: &Question<'_>,
) -> bool {
    let suffix = 1 + view.name.as_str().len() + apex.len();
    let n = targets.targets.len();
    // No label is shorter than a byte, behind its length: what is hopeless is not looked through.
    let least = n * (SRV + 2 + suffix);
    if least > question.room || 1 + MAX_LABEL + suffix > Name::MAX {
        return false;
    }
    // A target may bring its own name and that of the service; the question has half as many names
    // as bytes.
    if n + 1 + question.name.len() / 2 > compress::SURE {
        return false;
    }
    let more = targets.targets.iter().map(|target| id(view, target.instance).len() - 1);
    least + more.sum::<usize>() <= question.room
}

/// Writes the records in the order of the units, then addresses as far as they fit.
pub(super) fn write(
    pooled: &Pooled<'_>,
    of: &Targets,
    apex: &[u8],
    lists: &mut Lists,
    writer: &mut Writer<'_>,
) {
    let view = pooled.view;
    let Lists { units, suffix, targets } = lists;
    let service = view.name.as_str();
    suffix.clear();
    suffix.push(label_length(service));
    suffix.extend_from_slice(service.as_bytes());
    suffix.extend_from_slice(apex);
    targets.clear();
    for (place, unit) in units.iter().enumerate() {
        let srv = pooled.srv(of, place, *unit);
        targets.push(writer.srv(&srv, id(view, srv.instance), suffix));
    }
    for (unit, target) in units.iter().zip(targets) {
        let instance = of.targets[*unit as usize].instance;
        let addresses = &view.instances[instance as usize].instance.addresses;
        if !writer.glue(*target, addresses) {
            return;
        }
    }
}

fn id(view: &ServiceView, instance: u32) -> &str {
    view.instances[instance as usize].instance.id.as_str()
}
