#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <vector>

#include "base/bytes.h"
#include "base/check.h"

namespace onehop {

class BufferPool;

// A block borrowed from a BufferPool; goes back when destroyed. Move-only; empty after a move.
class PooledBlock {
 public:
  PooledBlock() = default;
  PooledBlock(PooledBlock&& other) noexcept { *this = std::move(other); }
  PooledBlock& operator=(PooledBlock&& other) noexcept;
  PooledBlock(const PooledBlock&) = delete;
  PooledBlock& operator=(const PooledBlock&) = delete;
  ~PooledBlock() { release(); }

  explicit operator bool() const { return block_ != nullptr; }
  uint8_t* data() const { return block_; }
  size_t size() const { return size_; }
  void release();

 private:
  friend class BufferPool;
  PooledBlock(BufferPool* pool, uint8_t* block, size_t size)
      : pool_(pool), block_(block), size_(size) {}
  BufferPool* pool_ = nullptr;
  uint8_t* block_ = nullptr;
  size_t size_ = 0;
};

// Fixed-size blocks for one shard, at page boundaries. Keeps at most `freeMax` blocks for reuse and gives the rest back to
// the allocator, so a burst does not become permanent memory. Not thread-safe: a shard owns it. Must
// outlive every block it lent (checked).
class BufferPool {
 public:
  BufferPool(size_t blockSize, size_t freeMax) : blockSize_(blockSize), freeMax_(freeMax) {}
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;
  ~BufferPool() {
    CHECK(lent_ == 0);
    trim(0);
  }

  PooledBlock take() {
    ++lent_;
    if (!free_.empty()) {
      uint8_t* block = free_.back();
      free_.pop_back();
      return PooledBlock(this, block, blockSize_);
    }
    return PooledBlock(this, allocate(), blockSize_);
  }
  // Frees kept blocks beyond `keep`.
  void trim(size_t keep) {
    while (free_.size() > keep) {
      deallocate(free_.back());
      free_.pop_back();
    }
  }
  size_t blockSize() const { return blockSize_; }
  size_t lent() const { return lent_; }
  size_t lentBytes() const { return lent_ * blockSize_; }
  size_t kept() const { return free_.size(); }

 private:
  friend class PooledBlock;
  static constexpr std::align_val_t kPage{4096};
  uint8_t* allocate() const { return static_cast<uint8_t*>(::operator new(blockSize_, kPage)); }
  static void deallocate(uint8_t* block) { ::operator delete(block, kPage); }
  void giveBack(uint8_t* block) {
    CHECK(lent_ > 0);
    --lent_;
    if (free_.size() < freeMax_) {
      free_.push_back(block);
    } else {
      deallocate(block);
    }
  }
  size_t blockSize_;
  size_t freeMax_;
  size_t lent_ = 0;
  std::vector<uint8_t*> free_;
};

inline PooledBlock& PooledBlock::operator=(PooledBlock&& other) noexcept {
  if (this != &other) {
    release();
    pool_ = other.pool_;
    block_ = other.block_;
    size_ = other.size_;
    other.pool_ = nullptr;
    other.block_ = nullptr;
    other.size_ = 0;
  }
  return *this;
}

inline void PooledBlock::release() {
  if (block_ != nullptr) {
    pool_->giveBack(block_);
    pool_ = nullptr;
    block_ = nullptr;
    size_ = 0;
  }
}

}  // namespace onehop
