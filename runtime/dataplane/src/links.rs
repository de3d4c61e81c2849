//! Creates interfaces that do not lead out of the machine, over rtnetlink: veth pairs between
//! network namespaces, and VXLAN devices. Invariant: all of them are created in the namespace of
//! the thread that created the [`Links`]. (Rejected: running `ip`, which may not be installed.)

use crate::error::Error;
use crate::sys::interface::Interfaces;
use rtnetlink::{Handle, LinkUnspec, LinkVeth, LinkVxlan};
use std::fs::File;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use tokio::runtime::Runtime;

/// Creates interfaces.
pub struct Links {
    runtime: Runtime,
    handle: Handle,
    interfaces: Interfaces,
}

impl Links {
    /// Works in the network namespace of the calling thread.
    ///
    /// # Errors
    /// [`Error::Interface`].
    pub fn new() -> Result<Links, Error> {
        let failed = failed("talking to rtnetlink");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(&failed)?;
        let handle = {
            let _entered = runtime.enter();
            let (connection, handle, _) = rtnetlink::new_connection().map_err(&failed)?;
            runtime.spawn(connection);
            handle
        };
        Ok(Links { runtime, handle, interfaces: Interfaces::new().map_err(&failed)? })
    }

    /// Creates two interfaces that are the ends of one link, and moves the second into another
    /// namespace. Both are down.
    ///
    /// # Errors
    /// [`Error::Interface`].
    pub fn pair(&self, here: &str, there: &str, namespace: &File) -> Result<(), Error> {
        let doing = format!("making the interfaces `{here}` and `{there}`");
        let make = self.handle.link().add(LinkVeth::new(here, there).build());
        self.wait(make.execute(), &doing)?;
        let moved = LinkUnspec::new_with_index(self.index(there, &doing)?).setns_by_fd(namespace.as_raw_fd());
        self.wait(self.handle.link().set(moved.build()).execute(), &doing)
    }

    /// Creates an interface by which frames enter that come in VXLAN packets with this network
    /// identifier to UDP port 4789. It is down.
    ///
    /// # Errors
    /// [`Error::Interface`].
    pub fn vxlan(&self, name: &str, vni: u32) -> Result<(), Error> {
        let make = self.handle.link().add(LinkVxlan::new(name, vni).port(4789).build());
        self.wait(make.execute(), &format!("making the VXLAN interface `{name}`"))
    }

    /// Sets an interface up, for packets of up to `mtu` bytes.
    ///
    /// # Errors
    /// [`Error::Interface`].
    pub fn up(&self, name: &str, mtu: u32) -> Result<(), Error> {
        let doing = format!("bringing `{name}` up");
        let up = LinkUnspec::new_with_index(self.index(name, &doing)?).mtu(mtu).up().build();
        self.wait(self.handle.link().set(up).execute(), &doing)
    }

    /// Gives an interface an address in a network of 256 addresses.
    ///
    /// # Errors
    /// [`Error::Interface`].
    pub fn address(&self, name: &str, address: Ipv4Addr) -> Result<(), Error> {
        let doing = format!("giving `{name}` the address {address}");
        let index = self.index(name, &doing)?;
        self.wait(self.handle.address().add(index, address.into(), 24).execute(), &doing)
    }

    fn index(&self, name: &str, doing: &str) -> Result<u32, Error> {
        Ok(self.interfaces.get(name).map_err(failed(doing))?.index)
    }

    fn wait(
        &self,
        what: impl Future<Output = Result<(), rtnetlink::Error>>,
        doing: &str,
    ) -> Result<(), Error> {
        self.runtime.block_on(what).map_err(|error| {
            failed(doing)(match error {
                rtnetlink::Error::NetlinkError(message) => message.to_io(),
                other => io::Error::other(other.to_string()),
            })
        })
    }
}

fn failed(doing: &str) -> impl Fn(io::Error) -> Error {
    let doing = doing.to_owned();
    move |source| Error::Interface { doing: doing.clone(), source }
}
