/**
 * The application behind workload B, a process of its own. The first line of a connection says what it
 * wants: an HTTP request, `ECHO`, or `BULK bytes`. Tells its parent when it listens.
 */
import { createServer, type Socket } from 'node:net';

import { blockOf } from './block.js';

const lineBytesMax = 4096;

function reply(socket: Socket, line: string): void {
  const body = JSON.stringify({
    answer: 'hello from workload b', asked: line, callerAddress: socket.remoteAddress,
  });
  socket.end(`HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n`
    + `content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
}

function bulk(socket: Socket, bytes: number): void {
  const block = blockOf();
  let left = bytes;
  const pump = (): void => {
    while (left > 0) {
      const part = left >= block.length ? block : block.subarray(0, left);
      left -= part.length;
      if (!socket.write(part)) return;
    }
    socket.end();
    socket.off('drain', pump);
  };
  socket.on('drain', pump);
  pump();
}

function serve(socket: Socket): void {
  socket.on('error', () => undefined);
  let head = Buffer.alloc(0);
  const onData = (chunk: Buffer): void => {
    head = Buffer.concat([head, chunk]);
    const end = head.indexOf('\n');
    if (end < 0) {
      if (head.length > lineBytesMax) socket.destroy();
      return;
    }
    socket.off('data', onData);
    const line = head.subarray(0, end).toString().trim();
    const rest = head.subarray(end + 1);
    const [verb, argument] = line.split(' ');
    if (verb === 'ECHO') {
      socket.write(rest);
      socket.pipe(socket);
    } else if (verb === 'BULK') {
      socket.resume();
      bulk(socket, Number(argument));
    } else {
      socket.resume();
      reply(socket, line);
    }
  };
  socket.on('data', onData);
}

const [host = '', port = ''] = process.argv.slice(2);
const server = createServer({ allowHalfOpen: true, noDelay: true }, serve);
server.listen({ host, port: Number(port), backlog: 1024 }, () => process.send?.('listening'));
process.on('disconnect', () => process.exit(0));
