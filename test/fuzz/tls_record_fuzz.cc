#include <algorithm>
#include <vector>

#include "base/check.h"
#include "tls/support/raw_record.h"

namespace onehop::tls {
namespace {

TrafficState stateOf(uint8_t choice) {
  TrafficState state;
  state.suite = (choice & 1) != 0 ? Suite::aes256GcmSha384 : Suite::aes128GcmSha256;
  state.secret.fill(7);
  state.sequence = (choice & 2) != 0 ? kKeyRecordsMax - 1 : 0;
  return state;
}

// As it comes: nothing that was not sealed by the key opens.
void openRaw(const TrafficState& state, ByteSpan input) {
  std::vector<uint8_t> record(input.begin(), input.end());
  record.resize(std::max(record.size(), kRecordHeader));
  RecordOpener opener(state);
  CHECK(!opener.open(record).ok());
}

// As the inner plaintext of a good record: content, type, padding.
void openInner(const TrafficState& state, ByteSpan input) {
  const std::vector<uint8_t> inner(input.begin(), input.end());
  std::vector<uint8_t> record = sealInner(state, inner);
  RecordOpener opener(state);
  auto opened = opener.open(record);
  const auto last = std::find_if(inner.rbegin(), inner.rend(), [](uint8_t b) { return b != 0; });
  const bool lawful = last != inner.rend() && inner.size() <= kRecordPlaintextMax + 1;
  CHECK(opened.ok() == lawful);
  if (!lawful) return;
  CHECK(static_cast<uint8_t>(opened.value().type) == *last);
  CHECK(std::equal(opened.value().content.begin(), opened.value().content.end(), inner.begin(),
                   inner.end() - (last - inner.rbegin()) - 1));
}

// Sealed by us: the independent sealer makes the same bytes.
void sealBoth(const TrafficState& state, ByteSpan input) {
  const ByteSpan content = input.first(std::min(input.size(), kRecordPlaintextMax));
  std::vector<uint8_t> record(kRecordHeader + content.size() + kRecordTrailer);
  std::copy(content.begin(), content.end(), record.begin() + kRecordHeader);
  RecordSealer sealer(state);
  CHECK(sealer.seal(record.data(), content.size(), ContentType::data) == record.size());
  std::vector<uint8_t> inner(content.begin(), content.end());
  inner.push_back(23);
  CHECK(record == sealInner(state, inner));
}

}  // namespace
}  // namespace onehop::tls

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t length) {
  using namespace onehop::tls;
  if (length == 0 || length > 20'000) return 0;
  const TrafficState state = stateOf(bytes[0]);
  const onehop::ByteSpan input(bytes + 1, length - 1);
  openRaw(state, input);
  openInner(state, input);
  sealBoth(state, input);
  return 0;
}
