#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace loadgen {

// GET /fixed/BYTES/OFFSET or /chunked/BYTES/OFFSET: the body of the answer is BYTES bytes of the
// pattern from OFFSET, with Content-Length or chunked.
struct HttpRequest {
  bool chunked = false;
  bool close = false;  // the connection ends with the answer
  uint32_t bytes = 0;
  uint64_t offset = 0;

  void encode(std::string& out) const;
};

// The head of the answer; `body` follows it in one piece, or, chunked, by appendChunks.
void encodeResponseHead(const HttpRequest& request, std::string& out);
void appendChunks(std::string_view body, std::string& out);

inline constexpr size_t kHttpHeadMax = 16384;  // also of one response's trailers

// Takes lines out of a stream of bytes at any fragmentation.
class LineReader {
 public:
  enum class Outcome : uint8_t { more, line, tooLong };
  // Takes bytes of one line from `input`. The line, without its end, is valid until the next call.
  Outcome next(std::string_view& input, size_t bytesMax, std::string_view& line);
  bool midLine() const { return !partial_.empty(); }

 private:
  std::string partial_;
  std::string whole_;
};

// Server: requests as proxies send them on. A body, or a target that is not ours, is refused.
class RequestReader {
 public:
  enum class Outcome : uint8_t { more, request, bad };
  Outcome next(std::string_view& input, HttpRequest& request);

 private:
  bool takeLine(std::string_view line);
  LineReader lines_;
  HttpRequest request_;
  size_t headBytes_ = 0;
  bool started_ = false;
};

// Client: RFC 9112 responses to GET with Content-Length or chunked coding, interim ones skipped.
// Call next() until it says `more`; after `done` the next call starts the next response.
class ResponseReader {
 public:
  enum class Step : uint8_t { more, body, done, bad };
  Step next(std::string_view& input, std::string_view& body);
  // Of the response that is done.
  int status() const { return status_; }
  bool close() const { return close_; }
  // Some of a response has come, but not all.
  bool midResponse() const { return state_ != State::statusLine || lines_.midLine(); }
  const char* problem() const { return problem_; }

 private:
  enum class State : uint8_t {
    statusLine, fields, fixed, fixedEnd, chunkSize, chunk, chunkEnd, trailers
  };
  Step fail(const char* problem);
  Step takeLine(std::string_view line);
  Step statusLine(std::string_view line);
  Step field(std::string_view line);
  Step headDone();
  Step finish();
  Step chunkSize(std::string_view line);
  Step takeBody(std::string_view& input, std::string_view& body);

  LineReader lines_;
  State state_ = State::statusLine;
  uint64_t left_ = 0;  // of the body, or of the chunk
  int64_t length_ = -1;
  size_t headBytes_ = 0;
  int status_ = 0;
  bool chunked_ = false;
  bool close_ = false;
  const char* problem_ = "";
};

}  // namespace loadgen
