#include "http.h"

#include <strings.h>

#include <algorithm>
#include <charconv>

#include "wire.h"

namespace loadgen {
namespace {

constexpr uint64_t kBodyMax = uint64_t{1} << 40;
constexpr size_t kChunkLineMax = 256;

bool same(std::string_view a, std::string_view b) {
  return a.size() == b.size() && strncasecmp(a.data(), b.data(), a.size()) == 0;
}

std::string_view trimmed(std::string_view text) {
  const size_t from = text.find_first_not_of(" \t");
  if (from == std::string_view::npos) return {};
  return text.substr(from, text.find_last_not_of(" \t") - from + 1);
}

// A comma-separated list of words holds this one.
bool lists(std::string_view list, std::string_view word) {
  while (!list.empty()) {
    const size_t comma = list.find(',');
    if (same(trimmed(list.substr(0, comma)), word)) return true;
    list = comma == std::string_view::npos ? std::string_view{} : list.substr(comma + 1);
  }
  return false;
}

// Digits of the base and nothing else.
template <typename Number>
bool readNumber(std::string_view text, Number& number, int base = 10) {
  if (text.empty()) return false;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  return error == std::errc{} && end == text.data() + text.size();
}

}  // namespace

void HttpRequest::encode(std::string& out) const {
  out += chunked ? "GET /chunked/" : "GET /fixed/";
  out += std::to_string(bytes) + "/" + std::to_string(offset);
  out += " HTTP/1.1\r\nhost: bench.internal\r\nuser-agent: loadgen\r\naccept: */*\r\n\r\n";
}

void encodeResponseHead(const HttpRequest& request, std::string& out) {
  out += "HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\n";
  if (request.close) out += "connection: close\r\n";
  if (request.chunked) {
    out += "transfer-encoding: chunked\r\n\r\n";
  } else {
    out += "content-length: " + std::to_string(request.bytes) + "\r\n\r\n";
  }
}

void appendChunks(std::string_view body, std::string& out) {
  constexpr size_t kChunk = 700;  // so that 1 KiB takes two
  while (!body.empty()) {
    const std::string_view part = body.substr(0, kChunk);
    char size[16];
    const auto end = std::to_chars(size, size + sizeof size, part.size(), 16).ptr;
    out.append(size, end).append("\r\n").append(part).append("\r\n");
    body.remove_prefix(part.size());
  }
  out += "0\r\n\r\n";
}

LineReader::Outcome LineReader::next(std::string_view& input, size_t bytesMax,
                                     std::string_view& line) {
  const size_t end = input.find('\n');
  const std::string_view part = input.substr(0, end);
  if (partial_.size() + part.size() > bytesMax) return Outcome::tooLong;
  if (end == std::string_view::npos) {
    partial_ += part;
    input = {};
    return Outcome::more;
  }
  input.remove_prefix(end + 1);
  if (partial_.empty()) {
    line = part;
  } else {
    whole_.swap(partial_);
    whole_ += part;
    partial_.clear();
    line = whole_;
  }
  if (line.ends_with('\r')) line.remove_suffix(1);
  return Outcome::line;
}

RequestReader::Outcome RequestReader::next(std::string_view& input, HttpRequest& request) {
  while (!input.empty()) {
    std::string_view line;
    const LineReader::Outcome taken = lines_.next(input, kHttpHeadMax - headBytes_, line);
    if (taken == LineReader::Outcome::tooLong) return Outcome::bad;
    if (taken == LineReader::Outcome::more) return Outcome::more;
    headBytes_ += line.size();
    if (line.empty() && started_) {
      request = request_;
      request_ = {};
      headBytes_ = 0;
      started_ = false;
      return Outcome::request;
    }
    if (!line.empty() && !takeLine(line)) return Outcome::bad;
  }
  return Outcome::more;
}

bool RequestReader::takeLine(std::string_view line) {
  if (started_) {
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) return false;
    const std::string_view name = line.substr(0, colon), value = trimmed(line.substr(colon + 1));
    if (same(name, "transfer-encoding")) return false;
    if (same(name, "content-length") && value != "0") return false;
    if (same(name, "connection") && lists(value, "close")) request_.close = true;
    if (same(name, "connection") && lists(value, "keep-alive")) request_.close = false;
    return true;
  }
  started_ = true;
  for (const std::string_view start : {"GET /fixed/", "GET /chunked/"}) {
    if (!line.starts_with(start)) continue;
    request_.chunked = start[5] == 'c';
    line.remove_prefix(start.size());
    const size_t slash = line.find('/');
    const size_t space = line.find(' ');
    if (slash == std::string_view::npos || space == std::string_view::npos || space < slash) {
      return false;
    }
    const std::string_view version = line.substr(space + 1);
    request_.close = version == "HTTP/1.0";
    return (version == "HTTP/1.1" || version == "HTTP/1.0") &&
           readNumber(line.substr(0, slash), request_.bytes) && request_.bytes <= kMessageMax &&
           readNumber(line.substr(slash + 1, space - slash - 1), request_.offset);
  }
  return false;
}

ResponseReader::Step ResponseReader::fail(const char* problem) {
  problem_ = problem;
  return Step::bad;
}

ResponseReader::Step ResponseReader::next(std::string_view& input, std::string_view& body) {
  if (state_ == State::fixedEnd) return finish();
  while (!input.empty()) {
    if (state_ == State::fixed || state_ == State::chunk) return takeBody(input, body);
    const bool chunkLine = state_ == State::chunkSize || state_ == State::chunkEnd;
    std::string_view line;
    const LineReader::Outcome taken =
        lines_.next(input, chunkLine ? kChunkLineMax : kHttpHeadMax - headBytes_, line);
    if (taken == LineReader::Outcome::tooLong) return fail("a head or chunk line too long");
    if (taken == LineReader::Outcome::more) return Step::more;
    if (!chunkLine) headBytes_ += line.size();
    const Step step = takeLine(line);
    if (step != Step::more) return step;
  }
  return Step::more;
}

ResponseReader::Step ResponseReader::takeLine(std::string_view line) {
  switch (state_) {
    case State::statusLine: return statusLine(line);
    case State::fields: return line.empty() ? headDone() : field(line);
    case State::chunkSize: return chunkSize(line);
    case State::chunkEnd:
      if (!line.empty()) return fail("no line end after a chunk");
      state_ = State::chunkSize;
      return Step::more;
    default:  // trailers
      return line.empty() ? finish() : Step::more;
  }
}

ResponseReader::Step ResponseReader::finish() {
  state_ = State::statusLine;
  headBytes_ = 0;
  return Step::done;
}

ResponseReader::Step ResponseReader::statusLine(std::string_view line) {
  length_ = -1;
  chunked_ = false;
  if (line.size() < 12 || (!line.starts_with("HTTP/1.1 ") && !line.starts_with("HTTP/1.0 ")) ||
      !readNumber(line.substr(9, 3), status_) || status_ < 100 ||
      (line.size() > 12 && line[12] != ' ')) {
    return fail("no HTTP/1 status line");
  }
  close_ = line[7] == '0';
  state_ = State::fields;
  return Step::more;
}

ResponseReader::Step ResponseReader::field(std::string_view line) {
  const size_t colon = line.find(':');
  if (colon == 0 || colon == std::string_view::npos ||
      line.substr(0, colon).find_first_of(" \t") != std::string_view::npos) {
    return fail("no header field");
  }
  const std::string_view name = line.substr(0, colon), value = trimmed(line.substr(colon + 1));
  if (same(name, "content-length")) {
    uint64_t length = 0;
    if (!readNumber(value, length) || length > kBodyMax) return fail("no Content-Length");
    if (length_ >= 0 && static_cast<uint64_t>(length_) != length) return fail("two lengths");
    length_ = static_cast<int64_t>(length);
  } else if (same(name, "transfer-encoding")) {
    if (!same(value, "chunked") || chunked_) return fail("a transfer coding other than chunked");
    chunked_ = true;
  } else if (same(name, "connection")) {
    if (lists(value, "close")) close_ = true;
    if (lists(value, "keep-alive")) close_ = false;
  }
  return Step::more;
}

ResponseReader::Step ResponseReader::headDone() {
  if (chunked_ && length_ >= 0) return fail("chunked with a Content-Length");
  if (status_ == 101) return fail("switched protocols");
  if (status_ < 200) {
    finish();
    return Step::more;
  }
  if (chunked_) {
    state_ = State::chunkSize;
    return Step::more;
  }
  const bool none = status_ == 204 || status_ == 304;
  if (!none && length_ < 0) return fail("a body without a length");
  left_ = none ? 0 : static_cast<uint64_t>(length_);
  if (left_ == 0) return finish();
  state_ = State::fixed;
  return Step::more;
}

ResponseReader::Step ResponseReader::chunkSize(std::string_view line) {
  const std::string_view digits = trimmed(line.substr(0, line.find(';')));
  if (!readNumber(digits, left_, 16) || left_ > kBodyMax) return fail("no chunk size");
  headBytes_ = 0;
  state_ = left_ > 0 ? State::chunk : State::trailers;
  return Step::more;
}

ResponseReader::Step ResponseReader::takeBody(std::string_view& input, std::string_view& body) {
  body = input.substr(0, std::min<uint64_t>(left_, input.size()));
  input.remove_prefix(body.size());
  left_ -= body.size();
  if (left_ == 0) state_ = state_ == State::chunk ? State::chunkEnd : State::fixedEnd;
  return Step::body;
}

}  // namespace loadgen
