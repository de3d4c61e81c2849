//! Connections that were open before the capture began, of which the server is seen first: a whole
//! answer, or the middle of one. By the command, both engines. The capture is not among those that
//! are compared with tshark, which does not read an answer behind the middle of another.

use mrule_tests::mirrored::{ENGINES, selected};
use std::path::Path;

#[test]
fn messages_are_read_and_the_client_is_known() {
    let capture = Path::new(env!("CARGO_MANIFEST_DIR")).join("pcap/first/server_first.pcap");
    let expected: [(&str, &[usize]); 7] = [
        ("app == http", &[1, 2, 3, 4, 5, 7, 8]),
        ("app == undecided", &[6]),
        ("tcp.port == 80 and app not in {http, undecided}", &[]),
        ("http.request.method", &[2, 4, 7]),
        ("http.response.code", &[1, 3, 5, 8]),
        ("flow.server.port == 80", &[1, 2, 3, 4, 5, 6, 7, 8]),
        ("flow.client.known", &[1, 2, 3, 4, 5, 7, 8]),
    ];
    for engine in ENGINES {
        let found = selected(&expected.map(|(condition, _)| condition), &capture, engine).unwrap();
        for ((condition, frames), found) in expected.iter().zip(found) {
            assert_eq!(found.into_iter().collect::<Vec<_>>(), *frames, "{engine}: {condition}");
        }
    }
}
