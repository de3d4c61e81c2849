//! The codes of characters and literals, part of `E00xx`. As in [`syntax`](super::syntax), snippets
//! marked `mrule` are correct, snippets marked `text` are not, and a test reads both. (Rejected:
//! one code for every malformed literal; the fixes have nothing in common.)

use super::{Code, CodeInfo};

/// A string without its closing quote on the same line.
pub const UNTERMINATED: Code = Code(&CodeInfo {
    id: "E0006",
    title: "string never closed",
    explain: r#"A string ends on the line it starts on. A quote inside a string is written `\"`, a line end `\n`.

```text
let login = tcp.payload contains "USER
                                 ^^^^^ this string is never closed
```

```mrule
let login = tcp.payload contains "USER"
```"#,
});

/// Single or typographic quotes.
pub const QUOTES: Code = Code(&CodeInfo {
    id: "E0007",
    title: "wrong quotes",
    explain: r#"Strings stand in plain double quotes. In Wireshark, single quotes, `'A'`, give a number, the code of the
character; write that number.

```text
let get = tcp.payload contains 'GET'
let first = tcp.payload[0] == 'G'
```

```mrule
let get   = tcp.payload contains "GET"
let first = tcp.payload[0] == 0x47
```

Typographic quotes come from text processors and mail programs."#,
});

/// A control character, or a character outside ASCII, that is outside strings and comments.
pub const CHARACTER: Code = Code(&CodeInfo {
    id: "E0008",
    title: "unexpected character",
    explain: r#"Outside strings and comments, a rule file has only printable ASCII characters, and not all of these have a
meaning. Some characters look like a blank and are not: U+00A0 comes with text copied from web pages. Control
characters are refused everywhere; in a string, write them as `\x00`.

```text
let größe = 5
      ^ unexpected character `ö`
```

```mrule
let groesse = 5  # größe
```"#,
});

/// A number that is not made of decimal or hexadecimal digits and a unit.
pub const NUMBER: Code = Code(&CodeInfo {
    id: "E0021",
    title: "malformed number",
    explain: r#"Numbers are whole, in decimal or in hexadecimal digits after `0x`, and a decimal one may have a unit. Leading
zeros are refused because Wireshark reads them as octal: `010` is 8 there.

```text
let a = 010
let b = 1.5KiB
let c = 0b1010
let d = 10_000
```

```mrule
let a = 8
let b = 1536B
let c = 0xa
let d = 10000
```"#,
});

/// A number that does not fit in 64 bits.
pub const NUMBER_TOO_LARGE: Code = Code(&CodeInfo {
    id: "E0022",
    title: "number too large",
    explain: r#"Numbers have 64 bits: the largest is 18446744073709551615, with its unit applied. Write longer values as
bytes.

```text
let token = tcp.payload contains 0x47455420474554204745
```

```mrule
let token = tcp.payload contains 47:45:54:20:47:45:54:20:47:45
```"#,
});

/// Letters after a number that are not a unit.
pub const UNKNOWN_UNIT: Code = Code(&CodeInfo {
    id: "E0023",
    title: "unknown unit",
    explain: r#"A unit follows its number without a blank. Sizes: `B`, `kB` or `KB` (1000 bytes), `MB`, `GB`, `TB`, and `KiB` (1024
bytes), `MiB`, `GiB`, `TiB`, and `kbit` (1000 bits are 125 bytes), `Mbit`, `Gbit`, `Tbit`. Durations: `ns`, `us`,
`ms`, `s`, `m` (minutes), `h`, `d`. Case matters.

```text
param head : size = 8kib
param pause : duration = 5 min
```

```mrule
param head  : size     = 8KiB
param pause : duration = 5m
```"#,
});

/// Digits and dots that are not an IPv4 address.
pub const IPV4: Code = Code(&CodeInfo {
    id: "E0024",
    title: "malformed IPv4 address",
    explain: r#"An IPv4 address has four numbers from 0 to 255, without leading zeros. A network is an address and the number
of its fixed bits.

```text
let a = ip.src == 300.1.1.1
let b = ip.src == 10.1.2
let c = ip.src == 10.001.2.3
```

```mrule
let a = ip.src == 30.1.1.1
let b = ip.src == 10.1.2.0/24
let c = ip.src == 10.1.2.3
```"#,
});

/// Hexadecimal digits and colons, or dashes, that are neither an address nor bytes.
pub const COLONS: Code = Code(&CodeInfo {
    id: "E0025",
    title: "malformed IPv6 address, MAC or bytes",
    explain: r#"Bytes and MACs are pairs of hexadecimal digits joined by colons. An IPv6 address has eight groups of one to four
digits; `::` replaces groups of zeros once. A single byte is a number, `0x0a`. Wireshark's other ways to write bytes
(`47-45-54`, `47.45.54`, `474554`) look like numbers and are refused.

```text
let a = eth.src == 00-11-22-33-44-55
let b = tcp.payload contains 4745542f
let c = ipv6.src == 2001::db8::1
```

```mrule
let a = eth.src == 00:11:22:33:44:55
let b = tcp.payload contains 47:45:54:2f
let c = ipv6.src == 2001:db8::1
```"#,
});

/// A prefix length that does not fit its address.
pub const CIDR: Code = Code(&CodeInfo {
    id: "E0026",
    title: "malformed prefix length",
    explain: r#"A network is an address and the number of its fixed bits: 0 to 32 for IPv4, 0 to 128 for IPv6. Netmasks are
not read.

```text
let a = ip.src == 10.0.0.0/255.0.0.0
let b = ip.src == 10.0.0.0/33
```

```mrule
let a = ip.src == 10.0.0.0/8
let b = ip.src == 10.0.0.0/32
```"#,
});

/// A backslash in a string followed by something that has no meaning.
pub const ESCAPE: Code = Code(&CodeInfo {
    id: "E0027",
    title: "unknown escape",
    explain: r#"The escapes in a string are `\n`, `\r`, `\t`, `\\`, `\"`, `\0` and `\xHH` with two hexadecimal digits. A raw
string, `r"..."`, has none: every backslash stays.

To the right of `matches`, escapes that are not in this list are part of the regex, such as `"\d+"`. Escapes that
Wireshark would resolve before the regex, such as `\b` (a backspace there, a word boundary in a regex), are refused;
in a raw string they are part of the regex.

```text
let a = tcp.payload contains "C:\dir"
let b = tcp.payload matches "\bGET"
```

```mrule
let a = tcp.payload contains "C:\\dir"
let b = tcp.payload matches r"\bGET"
```"#,
});
