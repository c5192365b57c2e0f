// SPDX-License-Identifier: GPL-2.0

//! Parameters of modules that say where and how a server listens.

/// The second form of [`parameters!`](crate::parameters): parameters of a module's own, and those of every
/// server behind them.
#[doc(hidden)]
#[macro_export]
macro_rules! __listen_parameters {
    (
        $(#[$attribute:meta])*
        $visibility:vis struct $Name:ident {
            $($own:tt)*
        }
    ) => {
        $crate::parameters! {
            $(#[$attribute])*
            $visibility struct $Name {
                $($own)*
                /// Address to listen on; 0.0.0.0 is every IPv4 address, :: every IPv6 and IPv4 address
                addr: $crate::net::ScopedAddr = $crate::net::ScopedAddr::LOCALHOST,
                /// Network device to listen on, and no other
                device: ::core::option::Option<$crate::net::Device> = None,
                /// Whether to listen on an address that the machine does not have, or not yet
                freebind: bool = false,
                /// Whether several servers may share the port
                reuse_port: bool = false,
                /// Whether :: is for IPv6 alone; auto is as the sysctl net.ipv6.bindv6only says
                only_v6: ::core::option::Option<bool> = None,
                /// Whether to speak Multipath TCP with clients that do
                mptcp: bool = false,
                /// Seconds of silence, seconds between probes and probes, as 60:10:6; or off
                keepalive: ::core::option::Option<$crate::net::Keepalive> = None,
                /// Milliseconds for which sent bytes may stay unacknowledged; 0 is the kernel's default
                user_timeout_ms: u32 [0..=2_147_483_647] = 0,
            }
        }

        impl $Name {
            /// The builder of a server of that name, with all that is said above about listening.
            $visibility fn builder(&self, name: &::kernel::str::CStr) -> $crate::Builder {
                let mut builder = $crate::KernelTcpServer::builder(name)
                    .listen_at(self.addr, self.port)
                    .freebind(self.freebind)
                    .reuse_port(self.reuse_port)
                    .mptcp(self.mptcp);
                if let Some(device) = self.device {
                    builder = builder.device(device);
                }
                if let Some(only) = self.only_v6 {
                    builder = builder.only_v6(only);
                }
                if let Some(keepalive) = self.keepalive {
                    builder = builder.keepalive(keepalive);
                }
                if self.user_timeout_ms > 0 {
                    builder = builder.user_timeout(::kernel::time::Delta::from_millis(
                        self.user_timeout_ms.into(),
                    ));
                }
                builder
            }
        }
    };
}
