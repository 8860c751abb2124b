//! Is a request refused? The status says so, and above all the origin, who never saw it.

use crate::kit::client::Client;
use crate::kit::client::Response;
use crate::kit::client::ask;
use crate::kit::client::get;
use crate::kit::edge::Edge;
use crate::kit::origin::Origin;
use crate::kit::origin::Taken;
use crate::kit::shown;

/// Sends bytes that must be refused with one of these statuses. The next client is served, and the origin has seen that one alone.
///
/// # Errors
/// What is wrong.
pub fn refused(edge: &Edge, origin: &Origin, bytes: impl AsRef<[u8]>, statuses: &[u16]) -> Result<(), String> {
    judge(edge, origin, bytes.as_ref(), statuses, false)
}

/// As [`refused`], and the connection ends: where the request ends is not sure, so the next bytes are nobody's request.
///
/// # Errors
/// What is wrong.
pub fn refused_for_good(edge: &Edge, origin: &Origin, bytes: impl AsRef<[u8]>, statuses: &[u16]) -> Result<(), String> {
    judge(edge, origin, bytes.as_ref(), statuses, true)
}

fn judge(edge: &Edge, origin: &Origin, bytes: &[u8], statuses: &[u16], for_good: bool) -> Result<(), String> {
    let before = origin.requests().len();
    let mut client = Client::connect(edge.address);
    let said = client.send(bytes).response();
    let closed = for_good && said.as_ref().is_ok_and(Response::says_close) && client.ends();
    nothing_came(edge, origin, before)?;
    match said {
        Err(why) => Err(format!("no response, but {why}")),
        Ok(found) if !statuses.contains(&found.status) => {
            Err(format!("{} instead of {statuses:?}: {}", found.status, shown(bytes)))
        }
        Ok(_) if for_good && !closed => Err("the connection is not ended".to_owned()),
        Ok(_) => Ok(()),
    }
}

/// The origin has got nothing since `before`, and is asked by the next client.
///
/// # Errors
/// What it has got.
pub fn nothing_came(edge: &Edge, origin: &Origin, before: usize) -> Result<(), String> {
    let after = ask(edge.address, get("/after")).map_err(|why| format!("the next client gets {why}"))?;
    if after.status != 200 {
        return Err(format!("the next client gets {}", after.status));
    }
    let came: Vec<String> = origin.requests()[before..].iter().map(Taken::line).collect();
    match &came[..] {
        [only] if only.starts_with("GET /after ") => Ok(()),
        _ => Err(format!("REACHED the origin: {came:?}")),
    }
}
