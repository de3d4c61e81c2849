//! Makes the kernel forward between two interfaces: a tc filter at the ingress of each matches
//! everything (u32) and redirects to the other (mirred), installed over rtnetlink. Taps see a frame
//! before tc does, so redirects hide nothing. Invariants: mirrorc's filters are recognised by their
//! priority and their action's cookie, whichever run installed them, so a restart adopts them. An
//! interface with another program's ingress filter is not touched. (Rejected: matchall, which some
//! kernels lack; running tc, which may not be installed.) See tc-u32(8), tc-mirred(8).

use crate::error::Error;
use crate::sys::interface::{Interfaces, State};
use futures_util::StreamExt;
use rtnetlink::packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, NetlinkMessage};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::tc::{
    TcAction, TcActionAttribute, TcActionGeneric, TcActionMirror, TcActionMirrorOption, TcActionOption,
    TcActionType, TcAttribute, TcFilterU32, TcFilterU32Option, TcHandle, TcMessage, TcMirror,
    TcMirrorActionType, TcOption, TcStats2, TcU32Selector, TcU32SelectorFlags,
};
use rtnetlink::{Handle, LinkUnspec};
use std::io;
use tokio::runtime::Runtime;

/// The priority of mirrorc's filters.
const PRIORITY: u16 = 0x6d72;
/// The start of the cookies of mirrorc's actions; a byte of [`MADE_QDISC`] and [`MADE_PROMISCUOUS`]
/// follows.
const COOKIE: &[u8] = b"mirrorc\x01";
/// mirrorc added the queueing discipline that the filters need.
const MADE_QDISC: u8 = 1;
/// mirrorc set the interface promiscuous.
const MADE_PROMISCUOUS: u8 = 2;
/// ETH_P_ALL in the form for tc.
const ALL: u16 = 3_u16.to_be();

/// Installs, lists and removes redirects.
pub struct Redirects {
    runtime: Runtime,
    handle: Handle,
    interfaces: Interfaces,
}

/// A redirect of mirrorc.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    /// The interface where frames enter.
    pub from: String,
    /// The interface where frames leave. `None`: that interface is gone.
    pub to: Option<String>,
    /// Packets redirected since the installation. A super-frame counts as the packets that it
    /// stands for. The kernel counts up to 2^32.
    pub packets: u32,
    /// Bytes of these packets.
    pub bytes: u64,
    /// Packets that could not be handed to the other interface.
    pub failed: u32,
    from_index: u32,
    to_index: u32,
    made: u8,
}

impl Redirect {
    /// Whether the redirect leads to the interface with this index.
    pub(super) fn leads_to(&self, index: u32) -> bool {
        self.to_index == index
    }

    /// What mirrorc added for the redirect.
    pub(super) fn made(&self) -> u8 {
        self.made
    }

    /// Whether both are between the same two interfaces.
    pub(super) fn is_same(&self, other: &Redirect) -> bool {
        (self.from_index, self.to_index) == (other.from_index, other.to_index)
    }
}

/// How an installed redirect came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Came {
    /// It is new.
    Installed,
    /// An earlier run of mirrorc left it.
    Adopted,
}

/// A filter at an interface's ingress.
enum Filter {
    Ours { to_index: u32, packets: u32, bytes: u64, failed: u32, made: u8 },
    Foreign(String),
}

impl Redirects {
    /// Works in the network namespace of the calling thread.
    ///
    /// # Errors
    /// [`Error::Interface`].
    pub fn new() -> Result<Redirects, Error> {
        let failed = |source| Error::Interface { doing: "talking to rtnetlink".to_owned(), source };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(failed)?;
        let handle = {
            let _entered = runtime.enter();
            let (connection, handle, _) = rtnetlink::new_connection().map_err(failed)?;
            runtime.spawn(connection);
            handle
        };
        Ok(Redirects { runtime, handle, interfaces: Interfaces::new().map_err(failed)? })
    }

    /// Redirects frames that enter by `from` to `to`. Does nothing where this is already so.
    ///
    /// # Errors
    /// [`Error::ForeignFilter`], [`Error::Privilege`], [`Error::Interface`].
    pub fn install(&self, from: &str, to: &str) -> Result<Came, Error> {
        self.install_over(from, to, 0)
    }

    /// Like [`install`](Self::install), where a redirect of mirrorc was removed; `made` is what
    /// mirrorc had added for it.
    pub(super) fn install_over(&self, from: &str, to: &str, made: u8) -> Result<Came, Error> {
        let doing = format!("redirecting `{from}` to `{to}`");
        let source = self.state(from, &doing)?;
        let target = self.state(to, &doing)?;
        let mut made = made;
        for filter in self.filters(source.index, &doing)? {
            match filter {
                Filter::Foreign(found) => {
                    return Err(Error::ForeignFilter { name: from.to_owned(), found });
                }
                Filter::Ours { to_index, .. } if to_index == target.index => return Ok(Came::Adopted),
                Filter::Ours { made: before, .. } => {
                    made |= before;
                    self.remove_filter(source.index, &doing)?;
                }
            }
        }
        if self.add_qdisc(source.index, &doing)? {
            made |= MADE_QDISC;
        }
        if !source.promiscuous {
            self.set_promiscuous(source.index, true, &doing)?;
            made |= MADE_PROMISCUOUS;
        }
        self.add_filter(source.index, target.index, made, &doing)?;
        Ok(Came::Installed)
    }

    /// All redirects of mirrorc.
    ///
    /// # Errors
    /// [`Error::Interface`].
    pub fn list(&self) -> Result<Vec<Redirect>, Error> {
        let states: Vec<(String, State)> = self
            .interfaces
            .names()
            .into_iter()
            .filter_map(|name| self.interfaces.get(&name).ok().map(|state| (name, state)))
            .collect();
        let mut found = Vec::new();
        for (from, state) in &states {
            for filter in self.filters(state.index, "listing redirects")? {
                if let Filter::Ours { to_index, packets, bytes, failed, made } = filter {
                    let to = states.iter().find(|(_, state)| state.index == to_index);
                    let (from_index, to) = (state.index, to.map(|(name, _)| name.clone()));
                    let from = from.clone();
                    found.push(Redirect { from, to, packets, bytes, failed, from_index, to_index, made });
                }
            }
        }
        Ok(found)
    }

    /// The redirect of frames that enter by this interface, if it is mirrorc's.
    ///
    /// # Errors
    /// [`Error::Interface`].
    pub fn get(&self, from: &str) -> Result<Option<Redirect>, Error> {
        Ok(self.look(from)?.0)
    }

    /// Like [`get`](Self::get), with the first filter of another program.
    ///
    /// # Errors
    /// [`Error::Interface`].
    pub(super) fn look(&self, from: &str) -> Result<(Option<Redirect>, Option<String>), Error> {
        let doing = format!("looking at the redirect of `{from}`");
        let state = self.state(from, &doing)?;
        let (mut ours, mut of_others) = (None, None);
        for filter in self.filters(state.index, &doing)? {
            match filter {
                Filter::Ours { to_index, packets, bytes, failed, made } => {
                    ours.get_or_insert_with(|| Redirect {
                        from: from.to_owned(),
                        to: None,
                        packets,
                        bytes,
                        failed,
                        from_index: state.index,
                        to_index,
                        made,
                    });
                }
                Filter::Foreign(found) => {
                    of_others.get_or_insert(found);
                }
            }
        }
        Ok((ours, of_others))
    }

    /// Removes a redirect of mirrorc and what was added for it. Returns false when there is none.
    ///
    /// # Errors
    /// [`Error::Privilege`], [`Error::Interface`].
    pub fn remove(&self, from: &str) -> Result<bool, Error> {
        let doing = format!("removing the redirect of `{from}`");
        let Some(redirect) = self.get(from)? else { return Ok(false) };
        let index = redirect.from_index;
        self.remove_filter(index, &doing)?;
        if redirect.made & MADE_PROMISCUOUS != 0 {
            self.set_promiscuous(index, false, &doing)?;
        }
        // Other programs may use it by now.
        if redirect.made & MADE_QDISC != 0 && !self.has_filters(index, &doing)? {
            self.request(RouteNetlinkMessage::DelQueueDiscipline(clsact(index)), 0, &doing)?;
        }
        Ok(true)
    }

    fn state(&self, name: &str, doing: &str) -> Result<State, Error> {
        self.interfaces.get(name).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                Error::NoInterface { name: name.to_owned(), there: self.interfaces.names().join(", ") }
            }
            _ => Error::Interface { doing: doing.to_owned(), source: error },
        })
    }

    fn filters(&self, index: u32, doing: &str) -> Result<Vec<Filter>, Error> {
        let messages = self.dump(index, TcHandle::MIN_INGRESS, doing)?;
        Ok(messages.iter().filter_map(filter).collect())
    }

    fn has_filters(&self, index: u32, doing: &str) -> Result<bool, Error> {
        let ingress = self.dump(index, TcHandle::MIN_INGRESS, doing)?;
        Ok(!ingress.is_empty() || !self.dump(index, TcHandle::MIN_EGRESS, doing)?.is_empty())
    }

    fn dump(&self, index: u32, hook: u16, doing: &str) -> Result<Vec<TcMessage>, Error> {
        let mut request = self.handle.traffic_filter(index as i32).get();
        request = if hook == TcHandle::MIN_EGRESS { request.egress() } else { request.ingress() };
        self.runtime.block_on(async {
            let mut stream = std::pin::pin!(request.execute());
            let mut messages = Vec::new();
            while let Some(message) = stream.next().await {
                match message {
                    Ok(message) => messages.push(message),
                    // Without a qdisc there are no filters.
                    Err(rtnetlink::Error::NetlinkError(error))
                        if matches!(error.to_io().raw_os_error(), Some(libc::EINVAL | libc::ENOENT)) => {}
                    Err(error) => return Err(wrong(doing, error)),
                }
            }
            Ok(messages)
        })
    }

    /// Makes sure that filters can be attached at the ingress. Returns whether the qdisc is new.
    fn add_qdisc(&self, index: u32, doing: &str) -> Result<bool, Error> {
        let message = RouteNetlinkMessage::NewQueueDiscipline(clsact(index));
        match self.send(message, NLM_F_CREATE | NLM_F_EXCL) {
            Ok(()) => Ok(true),
            Err(rtnetlink::Error::NetlinkError(error))
                if error.to_io().kind() == io::ErrorKind::AlreadyExists =>
            {
                Ok(false)
            }
            Err(error) => Err(wrong(doing, error)),
        }
    }

    fn add_filter(&self, from: u32, to: u32, made: u8, doing: &str) -> Result<(), Error> {
        let mut selector = TcU32Selector::default();
        // No keys: each frame matches, also a frame too short for any key.
        selector.flags = TcU32SelectorFlags::Terminal;
        let mut generic = TcActionGeneric::default();
        generic.action = TcActionType::Stolen;
        let mut mirror = TcMirror::default();
        mirror.generic = generic;
        mirror.eaction = TcMirrorActionType::EgressRedir;
        mirror.ifindex = to;
        let mut action = TcAction::default();
        action.attributes = vec![
            TcActionAttribute::Kind(TcActionMirror::KIND.to_owned()),
            TcActionAttribute::Options(vec![TcActionOption::Mirror(TcActionMirrorOption::Parms(mirror))]),
            TcActionAttribute::Cookie([COOKIE, &[made]].concat()),
        ];
        let mut message = ours(from);
        message.attributes = vec![
            TcAttribute::Kind(TcFilterU32::KIND.to_owned()),
            TcAttribute::Options(vec![
                TcOption::U32(TcFilterU32Option::Selector(selector)),
                TcOption::U32(TcFilterU32Option::Action(vec![action])),
            ]),
        ];
        self.request(RouteNetlinkMessage::NewTrafficFilter(message), NLM_F_CREATE | NLM_F_EXCL, doing)
    }

    fn remove_filter(&self, index: u32, doing: &str) -> Result<(), Error> {
        self.request(RouteNetlinkMessage::DelTrafficFilter(ours(index)), 0, doing)
    }

    fn set_promiscuous(&self, index: u32, on: bool, doing: &str) -> Result<(), Error> {
        let message = LinkUnspec::new_with_index(index).promiscuous(on).build();
        let done = self.runtime.block_on(self.handle.link().set(message).execute());
        done.map_err(|error| wrong(doing, error))
    }

    fn request(&self, message: RouteNetlinkMessage, flags: u16, doing: &str) -> Result<(), Error> {
        self.send(message, flags).map_err(|error| wrong(doing, error))
    }

    fn send(&self, message: RouteNetlinkMessage, flags: u16) -> Result<(), rtnetlink::Error> {
        let mut request = NetlinkMessage::from(message);
        request.header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
        let mut handle = self.handle.clone();
        self.runtime.block_on(async {
            let mut answers = handle.request(request)?;
            while let Some(answer) = answers.next().await {
                if let rtnetlink::packet_core::NetlinkPayload::Error(error) = answer.payload
                    && error.code.is_some()
                {
                    return Err(rtnetlink::Error::NetlinkError(error));
                }
            }
            Ok(())
        })
    }
}

impl std::fmt::Debug for Redirects {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Redirects")
    }
}

fn clsact(index: u32) -> TcMessage {
    let mut message = TcMessage::with_index(index as i32);
    message.header.parent = TcHandle::CLSACT;
    message.header.handle = TcHandle::from(0xffff_0000);
    message.attributes.push(TcAttribute::Kind("clsact".to_owned()));
    message
}

/// A message about mirrorc's filter at an interface.
fn ours(index: u32) -> TcMessage {
    let mut message = TcMessage::with_index(index as i32);
    message.header.parent = TcHandle { major: 0xffff, minor: TcHandle::MIN_INGRESS };
    message.header.info = u32::from(PRIORITY) << 16 | u32::from(ALL);
    message
}

/// The filter that a message of a dump describes. Returns `None` for the hash tables and heads that
/// u32 lists beside its filters.
fn filter(message: &TcMessage) -> Option<Filter> {
    let kind = message.attributes.iter().find_map(|attribute| match attribute {
        TcAttribute::Kind(kind) => Some(kind.as_str()),
        _ => None,
    });
    let kind = kind.unwrap_or("unknown");
    let options = message.attributes.iter().filter_map(|attribute| match attribute {
        TcAttribute::Options(options) => Some(options.as_slice()),
        _ => None,
    });
    let (mut selects, mut redirect) = (false, None);
    for option in options.flatten() {
        match option {
            TcOption::U32(TcFilterU32Option::Selector(_)) => selects = true,
            TcOption::U32(TcFilterU32Option::Action(actions)) => {
                redirect = actions.iter().find_map(action);
            }
            _ => {}
        }
    }
    let priority = (message.header.info >> 16) as u16;
    let is_filter = if kind == TcFilterU32::KIND { selects } else { u32::from(message.header.handle) != 0 };
    match redirect {
        Some(ours) if priority == PRIORITY => Some(ours),
        _ if is_filter => Some(Filter::Foreign(format!("{kind}, priority {priority}"))),
        _ => None,
    }
}

/// The filter that an action describes, if the action is mirrorc's.
fn action(action: &TcAction) -> Option<Filter> {
    let (mut target, mut cookie, mut packets, mut bytes, mut failed) = (None, None, 0, 0, 0);
    for attribute in &action.attributes {
        match attribute {
            TcActionAttribute::Options(options) => {
                for option in options {
                    if let TcActionOption::Mirror(TcActionMirrorOption::Parms(mirror)) = option {
                        target = Some(mirror.ifindex);
                    }
                }
            }
            TcActionAttribute::Cookie(bytes) => {
                cookie = bytes.strip_prefix(COOKIE).map(|rest| rest.first().copied().unwrap_or(0));
            }
            TcActionAttribute::Stats(stats) => {
                for part in stats {
                    match part {
                        TcStats2::Basic(basic) => (packets, bytes) = (basic.packets, basic.bytes),
                        TcStats2::Queue(queue) => failed = queue.drops.max(queue.overlimits),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    Some(Filter::Ours { to_index: target?, packets, bytes, failed, made: cookie? })
}

/// The error for a failed request.
fn wrong(doing: &str, error: rtnetlink::Error) -> Error {
    let source = match error {
        rtnetlink::Error::NetlinkError(message) => message.to_io(),
        other => io::Error::other(other.to_string()),
    };
    match source.kind() {
        io::ErrorKind::PermissionDenied => {
            Error::Privilege { doing: doing.to_owned(), needs: "CAP_NET_ADMIN" }
        }
        _ => Error::Interface { doing: doing.to_owned(), source },
    }
}
