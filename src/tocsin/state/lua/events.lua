-- Event counts: every member counts.
local SMALL = 512 -- bytes up to which a rewrite costs no more than an append, and wastes no room

-- The windows of at least `floor` that end at a member's time within the span after one of `batch`.
local function changed(raw, head, batch, span, floor)
  local size, coming = (#raw - head) / 16, #batch / 16
  local windows = {}
  if size < floor then return windows end
  local first = time_at(batch, 0, 0)
  local left = first_at(raw, head, size, first - span)
  local here = first_at(raw, head, size, first, left)
  local seen, reach = 0, first + span
  while here < size do
    local at = time_at(raw, head, here)
    local after = here + 1
    while after < size and time_at(raw, head, after) == at do after = after + 1 end
    while seen < coming and time_at(batch, 0, seen) <= at do
      reach = time_at(batch, 0, seen) + span
      seen = seen + 1
    end
    if at <= reach then
      while time_at(raw, head, left) < at - span do left = left + 1 end
      if after - left >= floor then
        windows[#windows + 1] = at
        windows[#windows + 1] = after - left
      end
      here = after
    elseif seen == coming then
      break
    else
      here = first_at(raw, head, size, time_at(batch, 0, seen), after)
    end
  end
  return windows
end

-- How many of the oldest to let go: none until it is half of them.
local function droppable(raw, head, span, keep)
  local size = (#raw - head) / 16
  if keep >= 0 and size > SATURATED then return size - keep end
  local half = math.floor((size + 1) / 2)
  local expired = time_at(raw, head, half - 1) < committed - span
  local beyond = keep >= 0 and half + keep <= size and time_at(raw, head, half + keep - 1) < committed
  if not expired and not beyond then return 0 end
  local drop = first_at(raw, head, size, committed - span)
  if keep >= 0 then drop = math.max(drop, first_at(raw, head, size, committed) - keep) end
  return drop
end

local function observe_events(number, rule)
  local key, batch = next_key(), next_arg()
  local before = redis.call('GET', key)
  local raw, added, in_order = merged(before or struct.pack('>i8', NEVER), 8, batch)
  local windows = changed(raw, 8, batch, rule.span, rule.floor)
  local floor_until = number_at(raw, 0)
  local size = (#raw - 8) / 16
  if added > 0 then
    local drop = droppable(raw, 8, rule.span, rule.keep)
    if drop == size then
      redis.call('DEL', key)
    elseif drop == 0 and before and in_order and #raw > SMALL then
      redis.call('APPEND', key, batch)
      redis.call('PEXPIRE', key, rule.ttl)
    else
      if drop > 0 then
        local last, header = time_at(raw, 8, drop - 1), floor_until
        if last >= committed - rule.span then header = math.max(header, last + rule.span + 1) end
        raw = struct.pack('>i8', header) .. string.sub(raw, 8 + 16 * drop + 1)
      end
      redis.call('SET', key, raw, 'PX', rule.ttl)
    end
    size = size - drop
  end
  answer(number, size, windows, floor_until)
end
