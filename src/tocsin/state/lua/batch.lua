-- Walking through a batch's KEYS and ARGV, and answering.
local SATURATED = 4096
local committed = tonumber(ARGV[1])
local key_at, arg_at = 0, 1
local reply = {}

local function next_key()
  key_at = key_at + 1
  return KEYS[key_at]
end

local function next_arg()
  arg_at = arg_at + 1
  return ARGV[arg_at]
end

local function answer(number, size, windows, floor_until)
  local count = #windows
  if count == 0 and size < 2 then return end
  local floored = count > 0 and windows[1] < floor_until
  local at = #reply
  reply[at + 1], reply[at + 2], reply[at + 3], reply[at + 4] = number, size, floored and 1 or 0, count / 2
  for place = 1, count do reply[at + 4 + place] = windows[place] end
end
