"""Everything durable: records, the ports through which they are reached, SQLite or Postgres below."""

from trunkline.store.opening import load_drivers as load_drivers
from trunkline.store.opening import open_store as open_store
from trunkline.store.ports import Accounts as Accounts
from trunkline.store.ports import Keys as Keys
from trunkline.store.ports import Requests as Requests
from trunkline.store.ports import Responses as Responses
from trunkline.store.ports import Store as Store
from trunkline.store.records import NO_LIMITS as NO_LIMITS
from trunkline.store.records import Account as Account
from trunkline.store.records import Attempt as Attempt
from trunkline.store.records import Billed as Billed
from trunkline.store.records import Candidate as Candidate
from trunkline.store.records import Decision as Decision
from trunkline.store.records import ItemPage as ItemPage
from trunkline.store.records import Key as Key
from trunkline.store.records import Limits as Limits
from trunkline.store.records import Rate as Rate
from trunkline.store.records import Request as Request
from trunkline.store.records import StoredItem as StoredItem
from trunkline.store.records import StoredResponse as StoredResponse
