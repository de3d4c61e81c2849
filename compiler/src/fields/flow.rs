//! The facts of a packet's flow that fields can name: its numbers, its application, the fields of
//! its messages. The invariant: a slot names a word of [`FlowView`]. An application's number is its
//! place in [`App::NAMES`] and never changes. (Rejected: application names as text; each packet
//! would compare text.)

use crate::abi::FlowView;
use std::mem::offset_of;

/// A number of a [`FlowView`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FlowSlot {
    /// [`FlowView::offset`]
    Offset,
    /// [`FlowView::end`]
    End,
    /// [`FlowView::lead`]
    Lead,
    /// [`FlowView::len`]
    Len,
    /// [`FlowView::isn`]
    Isn,
    /// [`FlowView::app`]
    App,
    /// [`FlowView::is_new`]
    IsNew,
    /// [`FlowView::established`]
    Established,
    /// [`FlowView::midstream`]
    Midstream,
    /// [`FlowView::client_known`]
    ClientKnown,
    /// [`FlowView::packets`]
    Packets,
    /// [`FlowView::bytes`]
    Bytes,
    /// [`FlowView::client_packets`]
    ClientPackets,
    /// [`FlowView::client_bytes`]
    ClientBytes,
    /// [`FlowView::server_packets`]
    ServerPackets,
    /// [`FlowView::server_bytes`]
    ServerBytes,
    /// [`FlowView::age`]
    Age,
    /// [`FlowView::idle`]
    Idle,
    /// [`FlowView::id`]: the key of triggers `by flow`; no field has this value.
    Id,
}

impl FlowSlot {
    /// Whether it is a count or a time, which only some programs read.
    pub fn is_number(self) -> bool {
        matches!(
            self,
            FlowSlot::Packets
                | FlowSlot::Bytes
                | FlowSlot::ClientPackets
                | FlowSlot::ClientBytes
                | FlowSlot::ServerPackets
                | FlowSlot::ServerBytes
                | FlowSlot::Age
                | FlowSlot::Idle
        )
    }

    /// Reads the number.
    pub fn get(self, flow: &FlowView) -> u64 {
        match self {
            FlowSlot::Offset => flow.offset,
            FlowSlot::End => flow.end,
            FlowSlot::Lead => flow.lead,
            FlowSlot::Len => flow.len,
            FlowSlot::Isn => flow.isn,
            FlowSlot::App => flow.app,
            FlowSlot::IsNew => flow.is_new,
            FlowSlot::Established => flow.established,
            FlowSlot::Midstream => flow.midstream,
            FlowSlot::ClientKnown => flow.client_known,
            FlowSlot::Packets => flow.packets,
            FlowSlot::Bytes => flow.bytes,
            FlowSlot::ClientPackets => flow.client_packets,
            FlowSlot::ClientBytes => flow.client_bytes,
            FlowSlot::ServerPackets => flow.server_packets,
            FlowSlot::ServerBytes => flow.server_bytes,
            FlowSlot::Age => flow.age,
            FlowSlot::Idle => flow.idle,
            FlowSlot::Id => flow.id,
        }
    }

    /// Its offset in a [`FlowView`], for generated code.
    pub fn offset(self) -> i32 {
        (match self {
            FlowSlot::Offset => offset_of!(FlowView, offset),
            FlowSlot::End => offset_of!(FlowView, end),
            FlowSlot::Lead => offset_of!(FlowView, lead),
            FlowSlot::Len => offset_of!(FlowView, len),
            FlowSlot::Isn => offset_of!(FlowView, isn),
            FlowSlot::App => offset_of!(FlowView, app),
            FlowSlot::IsNew => offset_of!(FlowView, is_new),
            FlowSlot::Established => offset_of!(FlowView, established),
            FlowSlot::Midstream => offset_of!(FlowView, midstream),
            FlowSlot::ClientKnown => offset_of!(FlowView, client_known),
            FlowSlot::Packets => offset_of!(FlowView, packets),
            FlowSlot::Bytes => offset_of!(FlowView, bytes),
            FlowSlot::ClientPackets => offset_of!(FlowView, client_packets),
            FlowSlot::ClientBytes => offset_of!(FlowView, client_bytes),
            FlowSlot::ServerPackets => offset_of!(FlowView, server_packets),
            FlowSlot::ServerBytes => offset_of!(FlowView, server_bytes),
            FlowSlot::Age => offset_of!(FlowView, age),
            FlowSlot::Idle => offset_of!(FlowView, idle),
            FlowSlot::Id => offset_of!(FlowView, id),
        }) as i32
    }

    /// Its greatest value.
    pub const fn max(self) -> u64 {
        match self {
            FlowSlot::IsNew | FlowSlot::Established | FlowSlot::Midstream | FlowSlot::ClientKnown => 1,
            FlowSlot::App => App::NAMES.len() as u64 - 1,
            FlowSlot::Isn | FlowSlot::Lead => u32::MAX as u64,
            FlowSlot::Age | FlowSlot::Idle => i64::MAX as u64,
            FlowSlot::Id => u64::MAX,
            _ => (1 << 48) - 1,
        }
    }
}

/// An application protocol, recognised by content.
#[repr(u8)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
#[expect(missing_docs, reason = "each is the protocol of its name; NAMES has the spelling")]
pub enum App {
    /// Not known yet.
    #[default]
    Undecided,
    /// None of the applications below.
    Other,
    Http,
    Http2,
    Tls,
    Quic,
    Dns,
    Ssh,
    Smtp,
    Ftp,
    Imap,
    Pop3,
    Rdp,
    Smb,
    Mqtt,
    Postgres,
    Mysql,
    Redis,
    Ntp,
    Dhcp,
    Sip,
    Bittorrent,
    Stun,
    Rtsp,
    Ldap,
    Snmp,
    Git,
}

impl App {
    /// The names, by number.
    pub const NAMES: &[&str] = &[
        "undecided",
        "other",
        "http",
        "http2",
        "tls",
        "quic",
        "dns",
        "ssh",
        "smtp",
        "ftp",
        "imap",
        "pop3",
        "rdp",
        "smb",
        "mqtt",
        "postgres",
        "mysql",
        "redis",
        "ntp",
        "dhcp",
        "sip",
        "bittorrent",
        "stun",
        "rtsp",
        "ldap",
        "snmp",
        "git",
    ];

    /// All applications, by number.
    pub const ALL: [App; Self::NAMES.len()] = {
        use App::*;
        [
            Undecided, Other, Http, Http2, Tls, Quic, Dns, Ssh, Smtp, Ftp, Imap, Pop3, Rdp, Smb, Mqtt,
            Postgres, Mysql, Redis, Ntp, Dhcp, Sip, Bittorrent, Stun, Rtsp, Ldap, Snmp, Git,
        ]
    };

    /// The number of the application with this name.
    pub fn number(name: &str) -> Option<u64> {
        Self::NAMES.iter().position(|n| *n == name).map(|n| n as u64)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::NAMES.get(self as usize).copied().unwrap_or("other")
    }
}

const _: () = {
    let mut i = 0;
    while i < App::ALL.len() {
        assert!(App::ALL[i] as usize == i);
        i += 1;
    }
};

/// A field of an application's message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Facet {
    /// `http.request.method`
    HttpMethod,
    /// `http.request.uri`
    HttpUri,
    /// `http.host`
    HttpHost,
    /// `http.user_agent`
    HttpUserAgent,
    /// `http.cookie`
    HttpCookie,
    /// `http.response.code`
    HttpCode,
    /// `http.content_type`
    HttpContentType,
    /// `tls.handshake.extensions_server_name`
    TlsServerName,
    /// `tls.handshake.version`
    TlsVersion,
    /// `tls.handshake.extensions_alpn_str`
    TlsAlpn,
    /// `quic.version`
    QuicVersion,
    /// `dns.qry.name`
    DnsName,
    /// `dns.qry.type`
    DnsType,
    /// `dns.flags.response`
    DnsResponse,
    /// `dns.flags.rcode`
    DnsRcode,
}

impl Facet {
    /// Whether it is a number. If not, it is text.
    pub const fn is_number(self) -> bool {
        matches!(
            self,
            Facet::HttpCode
                | Facet::TlsVersion
                | Facet::QuicVersion
                | Facet::DnsType
                | Facet::DnsResponse
                | Facet::DnsRcode
        )
    }

    /// The application whose messages have this field.
    pub const fn app(self) -> App {
        match self {
            Facet::HttpMethod
            | Facet::HttpUri
            | Facet::HttpHost
            | Facet::HttpUserAgent
            | Facet::HttpCookie
            | Facet::HttpCode
            | Facet::HttpContentType => App::Http,
            Facet::TlsServerName | Facet::TlsVersion | Facet::TlsAlpn => App::Tls,
            Facet::QuicVersion => App::Quic,
            Facet::DnsName | Facet::DnsType | Facet::DnsResponse | Facet::DnsRcode => App::Dns,
        }
    }
}
