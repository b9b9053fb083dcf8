"""Who calls, what they may use, and what it costs: keys, their cache and limits, the first key, prices."""

from trunkline.accounts.first import FirstKey as FirstKey
from trunkline.accounts.first import ensure_first_key as ensure_first_key
from trunkline.accounts.gate import Gate as Gate
from trunkline.accounts.gate import shared_file as shared_file
from trunkline.accounts.keyring import Caller as Caller
from trunkline.accounts.keyring import Keyring as Keyring
from trunkline.accounts.keys import NewKey as NewKey
from trunkline.accounts.keys import create as create
from trunkline.accounts.keys import find as find
from trunkline.accounts.keys import hash_key as hash_key
from trunkline.accounts.keys import limit as limit
from trunkline.accounts.keys import new_key as new_key
from trunkline.accounts.keys import record_of as record_of
from trunkline.accounts.keys import revoke as revoke
from trunkline.accounts.limits import objection as objection
from trunkline.accounts.pricing import Price as Price
from trunkline.accounts.pricing import Usage as Usage
from trunkline.accounts.pricing import cost as cost
from trunkline.accounts.pricing import total_cost as total_cost
from trunkline.accounts.pricing import usd as usd
