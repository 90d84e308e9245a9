#pragma once

#include <cstddef>

#include "base/check.h"

namespace onehop {

// A link to embed in an element; `Tag` lets one element stand in several lists. Destroying a linked
// element is a CHECK failure, as is adding it twice or removing it from a list it is not in.
template <typename Tag>
class ListLink {
 public:
  ListLink() = default;
  ListLink(const ListLink&) = delete;
  ListLink& operator=(const ListLink&) = delete;
  ~ListLink() { CHECK(!linked()); }
  bool linked() const { return owner_ != nullptr; }

 private:
  template <typename T, typename U>
  friend class IntrusiveList;
  ListLink* previous_ = nullptr;
  ListLink* next_ = nullptr;
  const void* owner_ = nullptr;
};

// Doubly linked, non-owning. T derives from ListLink<Tag>.
template <typename T, typename Tag = T>
class IntrusiveList {
 public:
  using Link = ListLink<Tag>;
  IntrusiveList() { head_.previous_ = head_.next_ = &head_; }
  IntrusiveList(const IntrusiveList&) = delete;
  IntrusiveList& operator=(const IntrusiveList&) = delete;
  ~IntrusiveList() { CHECK(empty()); }

  bool empty() const { return head_.next_ == &head_; }
  size_t size() const { return size_; }
  void pushBack(T& item) { insertBefore(head_, item); }
  void pushFront(T& item) { insertBefore(*head_.next_, item); }
  void remove(T& item) {
    Link& link = item;
    CHECK(link.owner_ == this);
    link.previous_->next_ = link.next_;
    link.next_->previous_ = link.previous_;
    link.previous_ = link.next_ = nullptr;
    link.owner_ = nullptr;
    --size_;
  }
  bool contains(const T& item) const { return static_cast<const Link&>(item).owner_ == this; }
  T* front() const { return empty() ? nullptr : toItem(head_.next_); }
  T* back() const { return empty() ? nullptr : toItem(head_.previous_); }
  // The element after `item`, or null at the end. Take it before removing `item`.
  T* next(const T& item) const {
    const Link& link = item;
    CHECK(link.owner_ == this);
    return link.next_ == &head_ ? nullptr : toItem(link.next_);
  }
  T* popFront() {
    T* item = front();
    if (item != nullptr) remove(*item);
    return item;
  }

 private:
  static T* toItem(Link* link) { return static_cast<T*>(link); }
  void insertBefore(Link& position, T& item) {
    Link& link = item;
    CHECK(link.owner_ == nullptr);
    link.previous_ = position.previous_;
    link.next_ = &position;
    position.previous_->next_ = &link;
    position.previous_ = &link;
    link.owner_ = this;
    ++size_;
  }
  Link head_;
  size_t size_ = 0;
};

}  // namespace onehop
