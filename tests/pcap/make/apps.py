#!/usr/bin/env python3
"""Servers of SMTP, FTP, IMAP, POP3, RTSP, DICT, NTP and of nothing at all, and Python's own clients of the first four.

usage: apps.py serve            on all addresses, until killed
       apps.py CLIENT ADDRESS   smtp, ftp, imap or pop3, one session

The servers say just enough for real clients to be content. `quiet` ports (389 LDAP, 445 SMB) take what a client says first and
hang up: such a connection has only one side's word.
"""
import asyncio
import ftplib
import imaplib
import poplib
import smtplib
import struct
import sys
import time

LETTER = "From: ann@example\r\nTo: bob@example\r\nSubject: session=letter\r\n\r\n" + "It is all mirrored.\r\n" * 40


async def lines(reader):
    while line := await reader.readline():
        yield line.decode().rstrip("\r\n")


async def smtp(reader, writer):
    writer.write(b"220 mail.example ESMTP ready\r\n")
    body = False
    async for line in lines(reader):
        word = line[:4].upper()
        if body:
            body = line != "."
            answer = "" if body else "250 2.0.0 queued"
        elif word == "EHLO":
            answer = "250-mail.example\r\n250-8BITMIME\r\n250 SIZE 100000"
        elif word == "DATA":
            body, answer = True, "354 go on"
        else:
            answer = "221 2.0.0 bye" if word == "QUIT" else "250 2.1.0 ok"
        if answer:
            writer.write(answer.encode() + b"\r\n")
        if word == "QUIT" and not body:
            break


async def pop3(reader, writer):
    writer.write(b"+OK POP3 ready <1.2@mail.example>\r\n")
    async for line in lines(reader):
        word = line.split(" ")[0].upper()
        answer = {"STAT": f"+OK 1 {len(LETTER)}", "RETR": f"+OK\r\n{LETTER}.", "LIST": f"+OK\r\n1 {len(LETTER)}\r\n."}
        writer.write((answer.get(word, "+OK") + "\r\n").encode())
        if word == "QUIT":
            break


async def imap(reader, writer):
    writer.write(b"* OK [CAPABILITY IMAP4rev1] mail.example ready\r\n")
    async for line in lines(reader):
        tag, word, *_ = line.split(" ")
        said = {
            "CAPABILITY": "* CAPABILITY IMAP4rev1\r\n",
            "SELECT": "* 1 EXISTS\r\n* 0 RECENT\r\n* FLAGS (\\Seen)\r\n",
            "SEARCH": "* SEARCH 1\r\n",
            "FETCH": f"* 1 FETCH (RFC822 {{{len(LETTER)}}}\r\n{LETTER})\r\n",
            "LOGOUT": "* BYE\r\n",
        }
        writer.write(f"{said.get(word.upper(), '')}{tag} OK {word} done\r\n".encode())
        if word.upper() == "LOGOUT":
            break


async def ftp(reader, writer):
    """Passive mode (PASV, EPSV) only."""
    data = {}

    async def listen():
        joined = asyncio.get_running_loop().create_future()

        async def join(_, w):
            joined.set_result(w)

        data["server"] = await asyncio.start_server(join, writer.get_extra_info("sockname")[0], 0)
        data["joined"] = joined
        return data["server"].sockets[0].getsockname()[1]

    writer.write(b"220 ftp.example ready\r\n")
    async for line in lines(reader):
        word = line.split(" ")[0].upper()
        if word == "PASV":
            port = await listen()
            host = writer.get_extra_info("sockname")[0].replace(".", ",")
            answer = f"227 Entering Passive Mode ({host},{port >> 8},{port & 255})"
        elif word == "EPSV":
            answer = f"229 Entering Extended Passive Mode (|||{await listen()}|)"
        elif word in ("LIST", "RETR"):
            writer.write(b"150 here it comes\r\n")
            to = await data["joined"]
            to.write(b"-rw-r--r-- 1 ann ann 5000 letter\r\n" if word == "LIST" else LETTER.encode() * 5)
            await to.drain()
            to.close()
            data["server"].close()
            answer = "226 done"
        else:
            answer = {"USER": "331 password?", "PASS": "230 in", "TYPE": "200 ok", "QUIT": "221 bye"}.get(word, "502 no")
        writer.write(answer.encode() + b"\r\n")
        if word == "QUIT":
            break


async def rtsp(reader, writer):
    number = "1"
    async for line in lines(reader):
        if line.lower().startswith("cseq:"):
            number = line.split(":")[1].strip()
        if not line:
            writer.write(f"RTSP/1.0 200 OK\r\nCSeq: {number}\r\nPublic: OPTIONS, DESCRIBE\r\n\r\n".encode())


async def dictionary(reader, writer):
    writer.write(b"220 dict.example ready <auth.mime> <1@dict.example>\r\n")
    async for line in lines(reader):
        word = line.split(" ")[0].upper()
        writer.write({"CLIENT": b"250 ok\r\n", "QUIT": b"221 bye\r\n"}.get(word, b"552 no match\r\n"))
        if word == "QUIT":
            break


async def quiet(reader, _):
    await reader.read(4096)


class Clock(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        now = struct.pack("!II", int(time.time()) + 2208988800, int(time.time() % 1 * 2**32))
        head = struct.pack("!BBbbII4s", 0x24, 1, 6, -20, 0, 0, b"LOCL")
        self.transport.sendto(head + now + data[40:48] + now + now, addr)


async def serve():
    def session(handler):
        async def run(reader, writer):
            try:
                await handler(reader, writer)
                await writer.drain()
                writer.close()
            except OSError:
                pass

        return run

    ports = {25: smtp, 110: pop3, 143: imap, 21: ftp, 554: rtsp, 2628: dictionary, 389: quiet, 445: quiet}
    for port, handler in ports.items():
        await asyncio.start_server(session(handler), None, port)
    await asyncio.get_running_loop().create_datagram_endpoint(Clock, local_addr=("::", 123))
    await asyncio.Event().wait()


def client(kind, addr):
    if kind == "smtp":
        with smtplib.SMTP(addr, timeout=20) as c:
            c.sendmail("ann@example", ["bob@example"], LETTER)
    elif kind == "ftp":
        with ftplib.FTP(addr, timeout=20) as c:
            c.login("ann", "secret")
            c.retrlines("LIST", lambda _: None)
            c.retrbinary("RETR letter", lambda _: None)
    elif kind == "imap":
        c = imaplib.IMAP4(addr, timeout=20)
        c.login("ann", "secret")
        c.select()
        c.fetch("1", "(RFC822)")
        c.logout()
    else:
        c = poplib.POP3(addr, timeout=20)
        c.user("ann")
        c.pass_("secret")
        c.stat()
        c.retr(1)
        c.quit()


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        asyncio.run(serve())
    client(*sys.argv[1:])
