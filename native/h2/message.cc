#include "h2/message.h"

namespace onehop::h2 {
namespace {

enum PseudoBit : unsigned {
  kMethod = 1,
  kScheme = 2,
  kAuthority = 4,
  kPath = 8,
  kStatus = 16,
};

unsigned pseudoBit(std::string_view name) {
  if (name == ":method") return kMethod;
  if (name == ":scheme") return kScheme;
  if (name == ":authority") return kAuthority;
  if (name == ":path") return kPath;
  if (name == ":status") return kStatus;
  return 0;
}

// RFC 9110 5.6.2 token without upper case.
bool isNameChar(char c) {
  if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) return true;
  return c != '\0' && std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

bool validName(std::string_view name) {
  if (name.empty()) return false;
  for (const char c : name) {
    if (!isNameChar(c)) return false;
  }
  return true;
}

// RFC 9113 8.2.1.
bool validValue(std::string_view value) {
  if (value.empty()) return true;
  const auto blank = [](char c) { return c == ' ' || c == '\t'; };
  if (blank(value.front()) || blank(value.back())) return false;
  return value.find_first_of(std::string_view("\0\r\n", 3)) == std::string_view::npos;
}

bool connectionSpecific(std::string_view name, std::string_view value) {
  if (name == "te") return value != "trailers";
  return name == "connection" || name == "proxy-connection" || name == "keep-alive" ||
         name == "transfer-encoding" || name == "upgrade";
}

bool parseLength(std::string_view text, int64_t* length) {
  if (text.empty() || text.size() > 18) return false;
  int64_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return false;
    value = value * 10 + (c - '0');
  }
  *length = value;
  return true;
}

bool parseStatus(std::string_view text, int* status) {
  int64_t value = 0;
  if (text.size() != 3 || !parseLength(text, &value) || value < 100) return false;
  *status = static_cast<int>(value);
  return value != 101;  // RFC 9113 8.6
}

bool inspectPseudo(HeaderList::Field field, unsigned* seen, MessageFacts& facts) {
  const unsigned bit = pseudoBit(field.name);
  if (bit == 0 || (*seen & bit) != 0 || !validValue(field.value)) return false;
  *seen |= bit;
  if (bit == kMethod) {
    facts.isConnect = field.value == "CONNECT";
    facts.isHead = field.value == "HEAD";
    return !field.value.empty();
  }
  if (bit == kStatus) return parseStatus(field.value, &facts.status);
  if (bit == kAuthority) facts.hasAuthority = !field.value.empty();
  return bit != kPath || !field.value.empty();
}

bool pseudoComplete(MessageKind kind, unsigned seen, const MessageFacts& facts) {
  switch (kind) {
    case MessageKind::trailers:
      return seen == 0;
    case MessageKind::response:
      return seen == kStatus;
    case MessageKind::request:
      // RFC 9113 8.5; we do not offer extended CONNECT.
      if (facts.isConnect) return seen == (kMethod | kAuthority) && facts.hasAuthority;
      return (seen & ~kAuthority) == (kMethod | kScheme | kPath);
  }
  return false;
}

}  // namespace

MessageFacts inspectMessage(MessageKind kind, const HeaderList& fields) {
  MessageFacts facts;
  unsigned seen = 0;
  bool regular = false;
  for (size_t i = 0; i < fields.size(); ++i) {
    const HeaderList::Field field = fields[i];
    if (!field.name.empty() && field.name[0] == ':') {
      if (regular || !inspectPseudo(field, &seen, facts)) return facts;
      continue;
    }
    regular = true;
    if (!validName(field.name) || !validValue(field.value)) return facts;
    if (connectionSpecific(field.name, field.value)) return facts;
    if (field.name == "content-length") {
      int64_t length = 0;
      if (!parseLength(field.value, &length)) return facts;
      if (facts.contentLength >= 0 && facts.contentLength != length) return facts;
      facts.contentLength = length;
    }
  }
  facts.valid = pseudoComplete(kind, seen, facts);
  return facts;
}

}  // namespace onehop::h2
