//! Sockets of a platform: listeners on several loopback addresses, connections from any of them.

use super::certificates;
use super::tls::Tls;
use crate::sip::{Frame, Framer};
use bytes::{Bytes, BytesMut};
use rustls::pki_types::ServerName;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// How long a connection may take to come up.
const CONNECT: Duration = Duration::from_secs(5);

/// The most messages that wait to be written on one connection.
const QUEUE: usize = 4096;

/// A connection to or from the SBC.
#[derive(Debug)]
pub struct Connection {
    /// The platform's end.
    pub local: SocketAddr,
    /// The SBC's end.
    pub remote: SocketAddr,
    /// Whether the platform opened it.
    pub dialled: bool,
    /// Names in the certificate that the SBC proved, lower case; empty without one.
    pub names: Vec<String>,
    queue: mpsc::Sender<Order>,
    open: AtomicBool,
}

enum Order {
    Write(Bytes),
    Close,
    Cut,
}

impl Connection {
    /// Puts a message in the queue of the connection; `false` when it is gone or far behind.
    pub fn send(&self, octets: Bytes) -> bool {
        self.is_open() && self.queue.try_send(Order::Write(octets)).is_ok()
    }

    /// Closes it once what is queued is written.
    pub fn close(&self) {
        let _ = self.queue.try_send(Order::Close);
    }

    /// Ends it at once and without a word, as the death of its process does.
    pub fn cut(&self) {
        let _ = self.queue.try_send(Order::Cut);
    }

    /// Whether neither side has closed it.
    pub fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }
}

/// What a connection brings.
#[derive(Debug)]
pub enum Arrival {
    /// The connection is there; comes first.
    Opened,
    /// A whole message.
    Message(Bytes),
    /// The stream lost its framing; the text says how.
    Garbage(String),
    /// The connection is gone.
    Closed,
}

/// Where arrivals go: the connection they came on, and what came.
pub(crate) type Arrivals = mpsc::Sender<(Arc<Connection>, Arrival)>;

/// Binds one port on every address; the first free one when `port` is 0.
///
/// # Errors
///
/// When no port is free on all of them.
pub async fn bind(addresses: &[IpAddr], port: u16) -> io::Result<Vec<TcpListener>> {
    // A port that is free on the first address may be taken on another: try a few.
    for _ in 0..32 {
        let mut listeners: Vec<TcpListener> = Vec::new();
        for &address in addresses {
            let port = listeners.first().and_then(|first| first.local_addr().ok()).map_or(port, |first| first.port());
            match TcpListener::bind((address, port)).await {
                Ok(listener) => listeners.push(listener),
                Err(error) if listeners.is_empty() => return Err(error),
                Err(_) => break,
            }
        }
        if listeners.len() == addresses.len() {
            return Ok(listeners);
        }
    }
    Err(io::Error::new(io::ErrorKind::AddrInUse, "no port is free on every address"))
}

/// Takes connections until the task is aborted. A handshake that fails leaves nothing behind: the SBC
/// sees the alert.
pub(crate) async fn accept(listener: TcpListener, tls: Option<Tls>, arrivals: Arrivals) {
    while let Ok((stream, _)) = listener.accept().await {
        let (tls, arrivals) = (tls.clone(), arrivals.clone());
        tokio::spawn(async move {
            let _ = tokio::time::timeout(CONNECT, welcome(stream, tls, arrivals)).await;
        });
    }
}

async fn welcome(stream: TcpStream, tls: Option<Tls>, arrivals: Arrivals) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let ends = (stream.local_addr()?, stream.peer_addr()?);
    match tls {
        None => drop(start(stream, ends, false, Vec::new(), arrivals)),
        Some(tls) => {
            let stream = TlsAcceptor::from(tls.server).accept(stream).await?;
            let leaf = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
            let names = leaf.map(certificates::names).unwrap_or_default();
            drop(start(stream, ends, false, names, arrivals));
        }
    }
    Ok(())
}

/// Connects from `local` to the SBC; over TLS its certificate must carry `name` (TDR-7).
///
/// # Errors
///
/// When the connection or the handshake fails.
pub(crate) async fn dial(
    local: IpAddr,
    sbc: SocketAddr,
    name: &str,
    tls: Option<&Tls>,
    arrivals: Arrivals,
) -> io::Result<Arc<Connection>> {
    let attempt = async {
        let socket = if local.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.bind(SocketAddr::new(local, 0))?;
        let stream = socket.connect(sbc).await?;
        stream.set_nodelay(true)?;
        let ends = (stream.local_addr()?, stream.peer_addr()?);
        let Some(tls) = tls else { return Ok(start(stream, ends, true, Vec::new(), arrivals)) };
        let server = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
        let stream = TlsConnector::from(tls.client.clone()).connect(server, stream).await?;
        let leaf = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let names = leaf.map(certificates::names).unwrap_or_default();
        Ok(start(stream, ends, true, names, arrivals))
    };
    tokio::time::timeout(CONNECT, attempt).await?
}

fn start<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    (local, remote): (SocketAddr, SocketAddr),
    dialled: bool,
    names: Vec<String>,
    arrivals: Arrivals,
) -> Arc<Connection> {
    let (queue, orders) = mpsc::channel(QUEUE);
    let connection = Arc::new(Connection { local, remote, dialled, names, queue, open: AtomicBool::new(true) });
    // It ends when the platform, which holds the receiver of arrivals, is dropped.
    tokio::spawn(carry(stream, connection.clone(), orders, arrivals));
    connection
}

/// Reads and writes until either side closes.
async fn carry<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    connection: Arc<Connection>,
    mut orders: mpsc::Receiver<Order>,
    arrivals: Arrivals,
) {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut buffer = BytesMut::with_capacity(8192);
    let mut framer = Framer::default();
    let mut farewell = arrivals.send((connection.clone(), Arrival::Opened)).await.is_ok();
    'open: while farewell {
        tokio::select! {
            order = orders.recv() => match order {
                Some(Order::Write(octets)) => {
                    if writer.write_all(&octets).await.is_err() || writer.flush().await.is_err() {
                        break;
                    }
                }
                Some(Order::Cut) => farewell = false,
                Some(Order::Close) | None => break,
            },
            read = reader.read_buf(&mut buffer) => {
                if !matches!(read, Ok(1..)) {
                    break;
                }
                loop {
                    let arrival = match framer.next(&mut buffer) {
                        Ok(None) => break,
                        Ok(Some(Frame::Message(octets))) => Arrival::Message(octets),
                        Ok(Some(Frame::Ping)) => {
                            let _ = writer.write_all(b"\r\n").await;
                            let _ = writer.flush().await;
                            continue;
                        }
                        Err(fault) => Arrival::Garbage(fault.to_string()),
                    };
                    let lost = matches!(arrival, Arrival::Garbage(_));
                    if arrivals.send((connection.clone(), arrival)).await.is_err() || lost {
                        break 'open;
                    }
                }
            }
            () = arrivals.closed() => break,
        }
    }
    connection.open.store(false, Ordering::Release);
    if farewell {
        let _ = writer.shutdown().await;
    }
    let _ = arrivals.send((connection, Arrival::Closed)).await;
}
