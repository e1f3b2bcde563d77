-- Distinct values.
-- A value seen at s, and next at n, counts in the windows that end in [s, n); its newest sighting
-- in all later ones. `newest`: value -> its newest time. `superseded`: value .. s -> n, and under
-- FLOOR the time before which windows may have lost values.
local FLOOR = 'f'

local function supersede(key, value, since, untill)
  if untill > committed then redis.call('ZADD', key, text(untill), value .. struct.pack('>i8', since)) end
end

local function values_in_order(rule, newest, superseded, batch)
  local coming, windows = #batch / 16, {}
  local held = redis.call('ZCARD', newest)
  for place = 0, coming - 1 do
    local at, value = time_at(batch, 0, place), string.sub(batch, 16 * place + 9, 16 * place + 16)
    local before = redis.call('ZSCORE', newest, value)
    redis.call('ZADD', newest, text(at), value)
    if before then supersede(superseded, value, tonumber(before), at) else held = held + 1 end
    if held >= rule.floor and (place == coming - 1 or time_at(batch, 0, place + 1) ~= at) then
      local count = redis.call('ZCOUNT', newest, text(at - rule.span), text(at))
      if count >= rule.floor then
        windows[#windows + 1] = at
        windows[#windows + 1] = count
      end
    end
  end
  return windows
end

-- What was superseded after `time`, as {value, s, n}.
local function superseded_after(key, time)
  local entries = {}
  local flat = redis.call('ZRANGEBYSCORE', key, '(' .. text(time), '+inf', 'WITHSCORES')
  for place = 1, #flat, 2 do
    if flat[place] ~= FLOOR then
      local value = string.sub(flat[place], 1, 8)
      entries[#entries + 1] = { value, number_at(flat[place], 8), tonumber(flat[place + 1]) }
    end
  end
  return entries
end

local function insert_late(newest, superseded, entries, value, at)
  local newest_time = tonumber(redis.call('ZSCORE', newest, value) or nil)
  if not newest_time then
    -- Its newest time may have been let go (a saturated group): what superseded it then stands.
    for _, entry in ipairs(entries) do
      if entry[1] == value then newest_time = math.max(newest_time or NEVER, entry[3]) end
    end
    if not newest_time or at >= newest_time then
      redis.call('ZADD', newest, text(at), value)
      return
    end
  end
  if at == newest_time then return end
  if at > newest_time then
    redis.call('ZADD', newest, text(at), value)
    entries[#entries + 1] = { value, newest_time, at }
    supersede(superseded, value, newest_time, at)
    return
  end
  local following = newest_time
  for _, entry in ipairs(entries) do
    if entry[1] == value and entry[3] > at then
      if entry[2] == at then return end
      if entry[2] < at then
        following = entry[3]
        entry[3] = at
        redis.call('ZREM', superseded, value .. struct.pack('>i8', entry[2]))
        supersede(superseded, value, entry[2], at)
        break
      end
      following = math.min(following, entry[2])
    end
  end
  entries[#entries + 1] = { value, at, following }
  supersede(superseded, value, at, following)
end

-- The first place (from 1) of the sorted `times` that is not before `time`.
local function place_of(times, time)
  local low, high = 1, #times + 1
  while low < high do
    local middle = math.floor((low + high) / 2)
    if times[middle] < time then low = middle + 1 else high = middle end
  end
  return low
end

-- The times of sightings from the batch's first on, each once, that are within its reach.
local function reached(rule, newest, entries, batch)
  local first, known, ends = time_at(batch, 0, 0), {}, {}
  local function add(time)
    if time >= first and not known[time] then
      known[time] = true
      ends[#ends + 1] = time
    end
  end
  local flat = redis.call('ZRANGEBYSCORE', newest, text(first), '+inf', 'WITHSCORES')
  for place = 2, #flat, 2 do add(tonumber(flat[place])) end
  for _, entry in ipairs(entries) do add(entry[2]) end
  for place = 0, #batch / 16 - 1 do add(time_at(batch, 0, place)) end
  table.sort(ends)
  local within, seen, reach = {}, 0, first - 1
  for _, at in ipairs(ends) do
    while seen < #batch / 16 and time_at(batch, 0, seen) <= at do
      reach = time_at(batch, 0, seen) + rule.span
      seen = seen + 1
    end
    if at <= reach then within[#within + 1] = at end
  end
  return within
end

local function values_late(rule, newest, superseded, batch)
  local first = time_at(batch, 0, 0)
  local entries = superseded_after(superseded, first)
  for place = 0, #batch / 16 - 1 do
    insert_late(newest, superseded, entries, record(batch, 0, place):sub(9), time_at(batch, 0, place))
  end
  local ends, more, windows, extra = reached(rule, newest, entries, batch), {}, {}, 0
  for _, entry in ipairs(entries) do
    local from, to = place_of(ends, entry[2]), place_of(ends, math.min(entry[3], entry[2] + rule.span + 1))
    more[from] = (more[from] or 0) + 1
    more[to] = (more[to] or 0) - 1
  end
  for place, at in ipairs(ends) do
    extra = extra + (more[place] or 0)
    local count = extra + redis.call('ZCOUNT', newest, text(at - rule.span), text(at))
    if count >= rule.floor then
      windows[#windows + 1] = at
      windows[#windows + 1] = count
    end
  end
  return windows
end

local function prune_values(rule, newest, superseded)
  redis.call('ZREMRANGEBYSCORE', superseded, '-inf', text(committed))
  redis.call('ZREMRANGEBYSCORE', newest, '-inf', '(' .. text(committed - rule.span))
  if rule.keep < 0 then return redis.call('ZCARD', newest) end
  local size = redis.call('ZCARD', newest)
  local reserve = size
  if size <= SATURATED then reserve = redis.call('ZCOUNT', newest, '-inf', '(' .. text(committed)) end
  local drop = reserve - rule.keep
  if drop > 0 then
    local last = tonumber(redis.call('ZRANGE', newest, drop - 1, drop - 1, 'WITHSCORES')[2])
    redis.call('ZREMRANGEBYRANK', newest, 0, drop - 1)
    local before = tonumber(redis.call('ZSCORE', superseded, FLOOR) or NEVER)
    redis.call('ZADD', superseded, text(math.max(before, last + rule.span + 1)), FLOOR)
    size = size - drop
  end
  local excess = redis.call('ZCARD', superseded) - SATURATED
  if excess > 0 then
    local last = tonumber(redis.call('ZRANGE', superseded, excess - 1, excess - 1, 'WITHSCORES')[2])
    redis.call('ZREMRANGEBYRANK', superseded, 0, excess - 1)
    local before = tonumber(redis.call('ZSCORE', superseded, FLOOR) or NEVER)
    redis.call('ZADD', superseded, text(math.max(before, last)), FLOOR)
  end
  return size
end

local function observe_values(number, rule)
  local newest, superseded, batch = next_key(), next_key(), next_arg()
  local last = redis.call('ZREVRANGE', newest, 0, 0, 'WITHSCORES')[2]
  local floor_until = tonumber(redis.call('ZSCORE', superseded, FLOOR) or NEVER)
  local windows
  if not last or time_at(batch, 0, 0) > tonumber(last) then
    windows = values_in_order(rule, newest, superseded, batch)
  else
    windows = values_late(rule, newest, superseded, batch)
  end
  local size = prune_values(rule, newest, superseded)
  redis.call('PEXPIRE', newest, rule.ttl)
  redis.call('PEXPIRE', superseded, rule.ttl)
  answer(number, size, windows, floor_until)
end
